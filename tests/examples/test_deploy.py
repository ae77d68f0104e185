# SPDX-License-Identifier: Apache-2.0
"""The files in examples/deploy: what can be checked of them without installing them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pausectl.cli.log import log
from pausectl.log.server import doors
from pausectl.net import client
from pausectl.net.limits import Limits
from pausectl.wire.tile import MAX_ENTRY_BYTES

DEPLOY = Path(__file__).resolve().parents[2] / "examples" / "deploy"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        shlex.split(re.search(r"^ExecStart=(.*)$", text("pausectl-log.service"), re.MULTILINE)[1]),
        eval(re.search(r"^ENTRYPOINT (.*)$", text("Containerfile"), re.MULTILINE)[1], {}),  # noqa: S307 - a list of ours
    ],
)
def test_the_command_is_one_that_there_is(words):
    program, group, name, *rest = words
    assert (Path(program).name, group, name) == ("pausectl", "log", "serve")
    known = {word for option in log.commands["serve"].params for word in option.opts if word.startswith("--")}
    assert {word for word in rest if word.startswith("--")} <= known
    variables = {option.envvar for option in log.commands["serve"].params if option.envvar}
    assert set(re.findall(r"PAUSECTL_\w+", text("log.env") + text("Containerfile"))) <= variables


def test_nginx_knows_the_doors_of_a_log_and_no_others(world_doors):
    shown = re.findall(r"location (?:= |~ \^)?(\S+) \{", text("nginx.conf"))
    assert shown == ["/checkpoint", "/(tile|key)/", "/add", "/"]
    assert world_doors == ["/add", "/checkpoint", "/tile/", "/key/"]
    assert f"client_max_body_size {MAX_ENTRY_BYTES};" in text("nginx.conf")


@pytest.fixture
def world_doors():
    from pausectl.log.storage import memory

    return [door.path for door in doors(memory.store(), None, Limits())]


@pytest.fixture
def nginx(tmp_path):
    """nginx with our configuration on a free port of loopback, over files in tmp_path/log; its URL."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is absent")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = text("nginx.conf").replace("listen 80;", f"listen 127.0.0.1:{port};")
    own = own.replace("/var/lib/pausectl/log", f"{tmp_path}/log").replace("127.0.0.1:8080", "127.0.0.1:9")
    paths = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = tmp_path / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    whole.write_text(
        f"{user} daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;"
        f"events {{ }} http {{ access_log off; {paths}\n{own} }}\n"
    )
    done = subprocess.run([program, "-t", "-c", str(whole)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with subprocess.Popen([program, "-c", str(whole)], stderr=subprocess.DEVNULL) as running:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
        running.terminate()


def test_nginx_serves_what_the_log_would(nginx, tmp_path):
    for path in ("checkpoint", "tile/0/000", "tile/0/001.p/7", "key/" + "a" * 64, "secret"):
        (tmp_path / "log" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "log" / path).write_bytes(path.encode())
    (tmp_path / "secret").write_bytes(b"secret")

    def get(path: str) -> client.Answer:
        return client.get(nginx + path, timeout=10, max_bytes=9999)

    found = get("/checkpoint")
    assert (found.body, found.type, found.headers["cache-control"]) == (
        b"checkpoint", "text/plain; charset=utf-8", "no-store",
    )  # fmt: skip
    for path in ("/tile/0/000", "/tile/0/001.p/7", "/key/" + "a" * 64):
        found = get(path)
        assert (found.body, found.type) == (path[1:].encode(), "application/octet-stream")
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
    for path in (
        "/",
        "/secret",
        "/tile/",
        "/tile/../secret",
        "/tile/..%2f..%2fsecret",
        "/metrics",
        "/health",
        "/tile/9/9",
    ):
        assert get(path).status in (400, 403, 404), path
    assert client.post(f"{nginx}/add", bytes(MAX_ENTRY_BYTES), timeout=10, max_bytes=9999).status == 502  # asked us
    assert client.post(f"{nginx}/add", bytes(MAX_ENTRY_BYTES + 1), timeout=10, max_bytes=9999).status == 413
    assert get("/add").status == 403
    assert client.post(f"{nginx}/checkpoint", b"x", timeout=10, max_bytes=9999).status == 403


def test_systemd_takes_its_unit(tmp_path):
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd is not installed")
    unit = tmp_path / "pausectl-log.service"
    unit.write_text(text("pausectl-log.service").replace("/usr/local/bin/pausectl", sys.executable))
    done = subprocess.run([analyse, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "pausectl-log" in line]
    assert told == []
    assert done.returncode == 0, done.stderr
