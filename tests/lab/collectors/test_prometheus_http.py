# SPDX-License-Identifier: Apache-2.0
"""Prometheus over HTTP: pages, servers that misbehave, a million samples, and a Prometheus that is one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from urllib.parse import parse_qs

import pytest

from pausectl.errors import Malformed, Refused, Unavailable, UsageFault
from pausectl.lab.collectors import promapi
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.prometheus import collect
from pausectl.net.door import Answer, Door

T = 1_773_114_000
HOUR = Window(T, T + 3_600)
POWER = "DCGM_FI_DEV_POWER_USAGE"


def answer(*found, **more):
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(found)}, **more})


class Server:
    """Speaks the API as far as we ask it: one device, 100 W every 30 s. first: answers that go before."""

    def __init__(self, hall, *first, watts=100):
        self.asked, self.headers, self.first, self.watts = [], [], list(first), watts
        self.url = hall([Door("GET", "/api/v1/", self.answer)]).url

    def answer(self, request):
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        self.asked.append((request.path, query))
        self.headers.append(request.headers)
        if self.first:
            return self.first.pop(0)
        if request.path.endswith("query_range"):
            times = range(int(float(query["start"])), int(float(query["end"])) + 1, int(float(query["step"])))
        else:
            end, width = int(query["time"]), int(query["query"].partition("[")[2].removesuffix("s]"))
            times = [when for when in range(end - width + 1, end + 1) if when % 30 == 0]
        values = [[when, str(self.watts)] for when in times]
        found = [{"metric": {"__name__": POWER, "UUID": "GPU-a"}, "values": values}] if POWER in query["query"] else []
        return Answer(200, answer(*found).encode(), "application/json")


def test_pages_of_raw_samples(hall):
    server = Server(hall)
    day = Window(T, T + 86_400)
    found = collect([server.url + "/api/v1/"], day, {"step": "30"})
    assert (found.energy_wh, found.records, found.coverage) == (2_400, 2_880, 1)
    widths = [int(query["query"].partition("[")[2][:-2]) for _, query in server.asked if POWER in query["query"]]
    assert max(widths) == 3_600
    assert sum(widths) == 86_400 + 2 * 301 + 1
    assert "127.0.0.1" not in json.dumps(found.json())  # an address is nobody's business


def test_a_page_too_large_is_halved(hall, monkeypatch):
    monkeypatch.setattr(promapi, "MAX_ANSWER", 2_000)
    server = Server(hall, Answer(422, b'{"status":"error","error":"query processing would load too many samples"}'))
    assert collect([server.url], HOUR, {"step": "30"}).energy_wh == 100
    monkeypatch.setattr(promapi, "MAX_ANSWER", 10)
    with pytest.raises(Unavailable, match="a second of it"):
        collect([server.url], HOUR, {"step": "30"})


def test_a_range_query_says_what_it_hides(hall):
    server = Server(hall)
    found = collect([server.url], HOUR, {"step": "30", "query": "range"})
    assert (found.energy_wh, found.coverage) == (100, 1)
    assert any("repeats the last value" in gap for gap in found.method.gaps)
    with pytest.raises(UsageFault, match="range with a step"):
        collect([server.url], HOUR, {"query": "range"})


def test_the_header_comes_from_the_environment_and_stays_there(hall, monkeypatch):
    server = Server(hall)
    monkeypatch.setenv("PROM_AUTH", "s3cret")
    found = collect([server.url], HOUR, {"auth_env": "PROM_AUTH"})
    assert {headers["authorization"] for headers in server.headers} == {"Bearer s3cret"}
    assert "s3cret" not in json.dumps(found.json())
    for bad in ("", "a\r\nb"):
        monkeypatch.setenv("PROM_AUTH", bad)
        with pytest.raises(UsageFault, match="PROM_AUTH"):
            collect([server.url], HOUR, {"auth_env": "PROM_AUTH"})


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_waited_for(hall, status):
    server = Server(hall, Answer(status, headers={"retry-after": "1"}), Answer(status, headers={"retry-after": "0"}))
    began = time.monotonic()
    assert collect([server.url], HOUR, {"step": "30"}).energy_wh == 100
    assert time.monotonic() - began >= 1


def test_but_not_for_ever(hall):
    server = Server(hall, *[Answer(429, headers={"retry-after": "0"})] * 9)
    with pytest.raises(Unavailable, match="found 429"):
        collect([server.url], HOUR, {})
    assert len(server.asked) == 5
    server.first[:] = [Answer(503, headers={"retry-after": "86400"})]
    with pytest.raises(Unavailable, match="86400 s more"):
        collect([server.url], HOUR, {})


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (Answer(500, b"oops"), Unavailable, "found 500"),
        (Answer(302, headers={"location": "http://127.0.0.1:9/"}), Unavailable, "redirected"),
        (Answer(401), Refused, "who asks"),
        (Answer(400, b'{"status":"error","error":"parse error"}'), UsageFault, "parse error"),
        (Answer(200, b'{"status":"succ'), Malformed, "whole"),
        (Answer(200, b"<html>"), Malformed, "JSON"),
        (Answer(200, b"\xff"), Malformed, "UTF-8"),
    ],
)
def test_answers_that_are_none(hall, given, error, match):
    with pytest.raises(error, match=match):
        collect([Server(hall, given).url], HOUR, {})


def test_a_slow_server_and_one_that_is_not_there(hall):
    def sleep(_):
        time.sleep(1)
        return Answer(200)

    url = hall([Door("GET", "/api/v1/query", sleep)]).url
    with pytest.raises(Unavailable, match="timed out"):
        collect([url], HOUR, {"timeout": "0.2"})
    with pytest.raises(Unavailable, match="cannot be reached"):
        collect(["http://127.0.0.1:9"], HOUR, {})


def test_a_server_that_warns_has_answered_in_part(hall):
    given = Answer(200, answer(warnings=["a store is away"]).encode())
    assert "a store is away" in collect([Server(hall, given).url], HOUR, {}).method.gaps


MILLION = """
import sys
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.prometheus import collect
found = collect([sys.argv[1]], Window(int(sys.argv[2]), int(sys.argv[3])), {"step": "10", "max_gap": "20"})
lines = open("/proc/self/status").read().splitlines()  # what getrusage says begins with the peak of who started us
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(found.records, found.energy_wh, peak // 1024)
"""


def test_a_million_samples_stay_small(hall):
    def page(request):
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        end, width = int(query["time"]), int(query["query"].partition("[")[2].removesuffix("s]"))
        if POWER not in query["query"]:
            return Answer(200, answer().encode())
        pairs = [[when + 0.781, "100.125"] for when in range(end - width + 1, end + 1) if when % 10 == 0]
        values = json.dumps(pairs)
        each = ('{"metric":{"__name__":"%s","UUID":"GPU-%d"},"values":%s}' % (POWER, n, values) for n in range(100))  # noqa: UP031
        body = '{"status":"success","data":{"resultType":"matrix","result":[' + ",".join(each) + "]}}"
        return Answer(200, body.encode())

    url = hall([Door("GET", "/api/v1/query", page)]).url
    asked = [sys.executable, "-c", MILLION, url, str(T), str(T + 100_000)]
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True)
    records, wh, mebibytes = map(int, ran.stdout.split())
    assert records == 1_000_000
    assert wh == round(100 * 100.125 * 100_000 / 3_600)
    assert mebibytes < 200


# ── a Prometheus that is one ──


@pytest.fixture
def prometheus(hall, tmp_path):
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is absent (Debian package prometheus)")
    scraped = []

    def exporter(_):
        scraped.append(time.time())
        joules = round((time.time() - T) * 300_000)
        return Answer(200, f'pdu_watts{{pdu="a"}} 300000\npdu_joules{{pdu="a"}} {joules}\n'.encode())

    target = hall([Door("GET", "/power", exporter)]).url.removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        textwrap.dedent(f"""\
        scrape_configs:
          - job_name: gpus
            scrape_interval: 1s
            metrics_path: /power
            static_configs: [{{targets: ["{target}"]}}]
        """)
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=said, stderr=said, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len(scraped) < 6:
            assert server.poll() is None, (tmp_path / "said").read_text()[-2_000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", scraped
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.parametrize("how", ["raw", "range"])
def test_a_live_prometheus(prometheus, tmp_path, how):
    url, scraped = prometheus
    mine = tmp_path / "map.toml"
    mine.write_text(
        'class = "rack"\n[[series]]\nname = "pdu_joules"\nkind = "energy"\nunit = "J"\ndevice = ["pdu"]\n'
        '[[series]]\nname = "pdu_watts"\nkind = "power"\nunit = "W"\ndevice = ["pdu"]\n'
    )
    window = Window(int(scraped[1]), int(scraped[5]))
    deadline = time.monotonic() + 20
    while True:  # what was scraped is there to be asked for a moment later
        found = collect([url], window, {"step": "1", "query": how, "max_gap": "5", "mapping": str(mine)})
        if found.coverage == 1 or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert found.coverage == 1
    assert {(device, watts) for device, _, watts in found.rows} == {("a", 300_000)}
    assert "1 devices by their counter of energy, not by power" in found.method.filters
    seconds = window.end - window.start
    assert 300_000 * (seconds - 1.5) / 3_600 < found.energy_wh < 300_000 * (seconds + 1.5) / 3_600
