# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: a PostgreSQL and an S3-compatible one, each in a folder of its own, gone when the block ends.

Loaded by path (tests are no package): see tests/log/conftest.py. An `Absent` says which program is missing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import http.client
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

BIN = Path(__file__).resolve().parent / "interop" / "bin"
BUCKET = "ledger"
SECRETS = {"AWS_ACCESS_KEY_ID": "pausectl-test", "AWS_SECRET_ACCESS_KEY": "pausectl-test-secret"}


class Absent(Exception):
    """A program is not installed."""


@contextlib.contextmanager
def folder(owner: str | None = None) -> Iterator[Path]:
    """A folder of a short name, for sockets have short paths; `owner` may enter it."""
    made = Path(tempfile.mkdtemp(prefix="pausectl-", dir="/tmp"))
    try:
        if owner:
            shutil.chown(made, owner)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Postgres:
    """A running server. url: for anybody here. restart: after kill -9."""

    def __init__(self, where: Path) -> None:
        self.where = where
        # It refuses to be root's.
        self._as: list[str] = []
        if os.geteuid() == 0:
            self._as = ["setpriv", f"--reuid={user()}", f"--regid={user()}", "--clear-groups"]
        self.url = f"postgresql://pausectl@/postgres?host={where}"
        self._bin = postgres_bin()
        self._run("initdb", "-D", str(where / "data"), "-A", "trust", "-U", "pausectl", "--no-sync", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        options = ["-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "max_connections=50"]
        with (self.where / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self._as, self._bin / "postgres", "-D", self.where / "data", "-k", self.where, *options],
                stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.where / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """As the power does, for its processes: the leader and all that it started."""
        pids = [self.process.pid]
        with contextlib.suppress(FileNotFoundError):
            pids += map(int, Path(f"/proc/{pids[0]}/task/{pids[0]}/children").read_text().split())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()
        (self.where / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        self.process.send_signal(2)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([*self._as, self._bin / program, *arguments], check=True, capture_output=True, cwd="/")


def postgres_bin() -> Path:
    """Where the server's programs are; Debian does not put them on the path."""
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for place in reversed(found):
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise Absent("PostgreSQL is absent")


def user() -> str:
    """Somebody who is not root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Absent("nobody but root is here to run PostgreSQL")


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    postgres_bin()
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise Absent("setpriv is absent, so root cannot run PostgreSQL")
    with folder(user() if os.geteuid() == 0 else None) as where:
        server = Postgres(where)
        try:
            yield server
        finally:
            server.stop()


class S3:
    """A running MinIO with one bucket. env: what a process needs to use it."""

    def __init__(self, where: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.env = {
            **SECRETS, "AWS_ENDPOINT_URL": f"http://{self.address}", "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }  # fmt: skip
        self.url = f"s3://{BUCKET}"
        secrets = {"MINIO_ROOT_USER": SECRETS["AWS_ACCESS_KEY_ID"],
                   "MINIO_ROOT_PASSWORD": SECRETS["AWS_SECRET_ACCESS_KEY"]}  # fmt: skip
        settings = {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(where), "PATH": os.environ["PATH"]}
        command = [minio(), "server", "--quiet", "--address", self.address, where / "data"]
        with (where / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env={**settings, **secrets}, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                with contextlib.closing(Client(self.address)) as client:
                    if client.ask("PUT", f"/{BUCKET}")[0] == 200:
                        return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((where / "log").read_text())
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def minio() -> Path:
    found = BIN / "minio"
    if found.exists():
        return found
    if shutil.which("minio"):
        return Path(shutil.which("minio"))
    raise Absent("MinIO is absent (.ci/setup builds it)")


@contextlib.contextmanager
def s3() -> Iterator[S3]:
    minio()
    with folder() as where:
        server = S3(where)
        try:
            yield server
        finally:
            server.stop()


class Client:
    """S3 in plain HTTP, each request signed by hand (Signature Version 4), on one connection."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection = http.client.HTTPConnection(address, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, bytes]:
        """Status, ETag and body of the answer. headers: with _ for -."""
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        sent = {"host": self._address, "x-amz-date": now, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
        sent |= {name.lower().replace("_", "-"): value for name, value in headers.items()}
        names = ";".join(sorted(sent))
        lines = [f"{name}:{sent[name]}" for name in sorted(sent)]
        canonical = "\n".join([method, path, "", *lines, "", names, sent["x-amz-content-sha256"]])
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        key = b"AWS4" + SECRETS["AWS_SECRET_ACCESS_KEY"].encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        credential = f"{SECRETS['AWS_ACCESS_KEY_ID']}/{scope}"
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        try:
            self._connection.request(method, path, body, sent)
            answer = self._connection.getresponse()
            return answer.status, answer.headers.get("ETag", ""), answer.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()  # an idle server hangs up; the next request opens it again
            raise
