# SPDX-License-Identifier: Apache-2.0
"""A store in S3 or what speaks like it: `s3://bucket/prefix`.

    prefix/log/tile/…, prefix/log/checkpoint     public: the bucket, or a cache before it, may serve prefix/log as it is
    prefix/head                                  the register
    prefix/stage/<size>-<root>                   what is being committed

Objects are created under `If-None-Match: *`, registers replaced under `If-Match: <ETag>`. The server must decide such
requests one after another: AWS does, and MinIO; one that compares the ETag first and then writes forks a log, and
`pausectl.sim.check_store` finds out. Credentials, endpoint and region come from the environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_REGION, and AWS_ALLOW_HTTP=true for an endpoint without TLS).
"""

from __future__ import annotations

import os
from datetime import timedelta
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import S3Store

from pausectl.errors import Refused, Unavailable, UsageFault
from pausectl.log.storage.seams import Absent

#: What of S3's errors is a refusal of the condition: it was compared, and nothing was written.
_CONDITION = (PreconditionError, AlreadyExistsError)


class Backend:
    """One log's part of a bucket."""

    def __init__(self, url: str) -> None:
        """Nothing is asked of the server yet."""
        parts = urlsplit(url)
        if not parts.hostname or parts.query or parts.fragment or parts.netloc != parts.hostname:
            raise UsageFault("expected s3://bucket/prefix and nothing else", where=url)
        self._s3 = S3Store(
            parts.netloc,
            prefix=unquote(parts.path).strip("/") or None,
            client_options={
                "timeout": "30s",
                "connect_timeout": "10s",
                # Given options replace those of the environment, this one among them.
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
        )

    def objects(self, folder: str) -> S3Objects:
        """Objects below a folder."""
        return S3Objects(self._s3, folder)

    def register(self, name: str) -> S3Head:
        """A register; it need not be there."""
        return S3Head(self._s3, name)

    def create(self, *registers: str) -> None:
        """Make registers, the last of them last; Refused if there is one of them already."""
        for name in registers:
            try:
                obstore.put(self._s3, name, b"", mode="create", use_multipart=False)
            except _CONDITION as error:
                raise Refused("there is such a register already", where=name) from error
            except (BaseError, OSError) as error:
                raise _unavailable(error, name) from error

    def close(self) -> None:
        """There is nothing to let go."""


class S3Objects:
    """Objects as objects."""

    def __init__(self, s3: S3Store, folder: str) -> None:
        self._s3 = s3
        self._folder = folder

    def put(self, path: str, data: bytes, *, afresh: bool = False) -> None:  # noqa: ARG002 - what S3 shows is durable
        """Create an object, in one request."""
        key = f"{self._folder}/{path}"
        while True:
            try:
                obstore.put(self._s3, key, data, mode="create", use_multipart=False)
            except _CONDITION as error:
                found = self._find(key)
                if found is None:
                    continue  # discarded in between
                if found != data:
                    raise Refused("expected the bytes that are to be written, or no object", where=key) from error
            except (BaseError, OSError) as error:
                raise _unavailable(error, key) from error
            return

    def get(self, path: str) -> bytes:
        """The whole object."""
        key = f"{self._folder}/{path}"
        found = self._find(key)
        if found is None:
            raise Absent("no such object in this log", where=key)
        return found

    def discard(self, path: str) -> None:
        """Delete an object."""
        key = f"{self._folder}/{path}"
        try:
            obstore.delete(self._s3, key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise _unavailable(error, key) from error

    def _find(self, key: str) -> bytes | None:
        found = _get(self._s3, key)
        return None if found is None else found[0]


class S3Head:
    """A register as an object that is replaced only while it has the ETag that was read with its value."""

    def __init__(self, s3: S3Store, name: str) -> None:
        self._s3 = s3
        self._name = name

    def read(self) -> bytes:
        """The bytes of the object."""
        return self._read()[0]

    def swap(self, old: bytes, new: bytes) -> None:
        """Replace the object if it has the value `old`."""
        value, etag = self._read()
        if value != old:
            raise self._moved()
        try:
            obstore.put(self._s3, self._name, new, mode={"e_tag": etag}, use_multipart=False)
        except _CONDITION as error:
            raise self._moved() from error
        except (BaseError, OSError) as error:
            raise _unavailable(error, self._name) from error

    def _read(self) -> tuple[bytes, str]:
        found = _get(self._s3, self._name)
        if found is None:
            hint = "this is the log's memory of what it signed: restore it, never make a new one"
            raise Unavailable("the register is missing", where=self._name, hint=hint)
        return found

    def _moved(self) -> Refused:
        return Refused("the register has another value than the one to be replaced", where=self._name)


def _get(s3: S3Store, key: str) -> tuple[bytes, str] | None:
    """The whole object and its ETag, or None if there is none."""
    try:
        found = obstore.get(s3, key)
        data, etag = bytes(found.bytes()), found.meta["e_tag"]
    except (NotFoundError, FileNotFoundError):
        return None
    except (BaseError, OSError) as error:
        raise _unavailable(error, key) from error
    if etag is None:
        raise Unavailable("the server gave no ETag", where=key)
    return data, etag


def _unavailable(error: Exception, key: str) -> Unavailable:
    """What a person needs of a message of many lines."""
    told = str(error).strip().partition("\n")[0]
    return Unavailable(f"S3: {told[:300] or type(error).__name__}", where=key)
