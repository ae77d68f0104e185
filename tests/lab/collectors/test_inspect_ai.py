# SPDX-License-Identifier: Apache-2.0
"""Inspect's logs: everything known of 21 real files, and logs that somebody broke, cut short or made up."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
from collections import Counter
from fractions import Fraction

import pytest

from pausectl.agreement.types import seconds
from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors import base, logs
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.inspect_ai import collect, read

ALWAYS = Window(0, 1 << 40)


@pytest.fixture
def answers(shared):
    return json.loads(shared("data/known_answers.json").read_text())["facts"]["evals"]


@pytest.fixture
def folder(shared):
    return shared("data/evals/inspect")


def header(**changes):
    """A sound log; a name like results__scores changes what lies deeper, and `...` takes it away."""
    made = {
        "version": 2, "status": "success",
        "eval": {
            "run_id": "r1", "task_id": "t1", "task": "popularity", "task_version": 3, "model": "lab/model",
            "created": "2026-07-06T10:00:00+02:00", "config": {"epochs": 2},
            "dataset": {"samples": 100, "sample_ids": [1, 2]},
        },
        "results": {
            "total_samples": 4, "completed_samples": 4,
            "scores": [{"name": "match", "scorer": "match", "params": {}, "metrics": {
                "accuracy": {"name": "accuracy", "value": 0.75}, "stderr": {"name": "stderr", "value": 0.25}}}],
        },
        "stats": {"started_at": "2026-07-06T10:00:00+02:00", "completed_at": "2026-07-06T10:00:30+02:00",
                  "model_usage": {"lab/model": {"total_tokens": 7}}},
        "samples": [{}, {}, {}, {}],
    }  # fmt: skip
    for path, value in changes.items():
        *above, last = path.split("__")
        place = made
        for name in above:
            place = place[int(name) if isinstance(place, list) else name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return made


@pytest.fixture
def text(tmp_path):
    def make(name="log.json", **changes):
        path = tmp_path / name
        path.write_text(json.dumps(header(**changes)))
        return path

    return make


def archive(*members, method=zipfile.ZIP_DEFLATED):
    """A zip of (name, text or JSON value)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        for name, value in members:
            file.writestr(name, value if isinstance(value, str | bytes) else json.dumps(value))
    return packed.getvalue()


SAMPLES = [(f"samples/{n}_epoch_{e}.json", "{}") for n in (1, 2) for e in (1, 2)]


@pytest.fixture
def zipped(tmp_path):
    def make(raw=None, name="log.eval", **changes):
        path = tmp_path / name
        path.write_bytes(archive(*SAMPLES, ("header.json", header(samples=..., **changes))) if raw is None else raw)
        return path

    return make


# ── what is known of real logs ──


def test_all_facts_of_every_real_log(folder, answers):
    known = answers["inspect_logs"]["value"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(known)
    assert len(known) == answers["inspect_files"]["value"]
    for name, facts in known.items():
        run = read(folder / name)
        found = {
            "log_version": run.version, "status": run.status, "task": run.task, "model": run.model,
            "dataset_samples": run.dataset_samples, "total_samples": run.total_samples,
            "completed_samples": run.completed_samples, "samples_in_file": run.samples_in_file,
            "scores": [{"name": s.name, "scorer": s.scorer, "metrics": s.metrics} for s in run.scores],
            "started_at": run.started_at, "completed_at": run.completed_at, "total_tokens": run.total_tokens,
        }  # fmt: skip
        assert found == facts, name


def test_what_the_real_logs_are_together(folder, answers):
    runs = [read(path) for path in sorted(folder.iterdir())]
    assert Counter(run.status for run in runs) == answers["inspect_by_status"]["value"]
    same: dict[str, list[str]] = {}
    for run in runs:
        same.setdefault(run.digest, []).append(run.log)
    assert len(same) == answers["inspect_distinct"]["value"]
    assert [names for names in same.values() if len(names) > 1] == answers["inspect_identical_groups"]["value"]
    scoreless = [run.log for run in runs if run.status == "success" and not run.scores]
    assert scoreless == answers["inspect_success_without_score"]["value"]


def test_which_of_the_real_runs_are_results(folder):
    found = collect([str(folder)], ALWAYS, {})
    # 19 distinct files; log_formats is one run as .eval and as .json
    assert (found.records, found.unknown_records, len(found.results)) == (18, 4, 14)
    assert found.coverage == Fraction(14, 18)
    gaps = "\n".join(found.method.gaps)
    for gap in (
        "1 not counted as results: made by hand",
        "1 not counted as results: no score (2025-02-11T15-17",
        "2 not counted as results: status cancelled (2025-05-12T20-28-13-04-00_no-samples.json",
    ):
        assert gap in gaps
    assert "0.6666666666666666" not in {result["value"] for result in found.results}
    assert found.method.version == "log format 2, 3"
    assert found.method.query.count("sha256:") == 19
    mmlu = [result for result in found.results if result["dataset_samples"] == 14_042]
    assert [result["n"] for result in mmlu] == [1, 1]
    assert found == collect([str(path) for path in sorted(folder.iterdir()) * 2], ALWAYS, {})


def test_a_window_is_by_completion(folder):
    spring = Window(seconds("2025-02-11T20:18:00Z"), seconds("2025-02-11T20:18:09Z"))
    found = collect([str(folder)], spring, {})
    assert (found.records, found.unknown_records) == (1, 0)
    assert found.results[0]["value"] == "0.8"
    assert collect([str(folder)], Window(spring.end, spring.end + 1), {}).coverage is None


# ── one run ──


def test_a_result_whole(text):
    path = text()
    found = collect([str(path)], ALWAYS, {})
    assert found.json()["results"] == [{
        "task": "popularity", "task_version": "3", "model": "lab/model", "metric": "accuracy", "scorer": "match",
        "score": "match", "reducer": None, "value": "0.75", "n": 4, "dataset_samples": 100, "stderr": "0.25",
        "epochs": 2, "status": "success", "started_at": "2026-07-06T10:00:00+02:00",
        "completed_at": "2026-07-06T10:00:30+02:00", "run_id": "r1", "log": read(path).digest,
    }]  # fmt: skip
    assert found.method.query == f"log.json sha256:{read(path).digest}"


def test_both_forms_are_one_run(text, zipped):
    found = collect([str(text()), str(zipped())], ALWAYS, {})
    assert (found.records, len(found.results), found.unknown_records) == (1, 1, 0)


def test_tasks_that_were_started_together_share_a_run_id(text):
    found = collect([str(text()), str(text("other.json", eval__task_id="t2", eval__task="security"))], ALWAYS, {})
    assert sorted(result["task"] for result in found.results) == ["popularity", "security"]


def test_two_logs_of_one_run_that_tell_different_scores_are_no_result(text):
    better = text("better.json", results__scores__0__metrics={"accuracy": {"value": 1.0}})
    found = collect([str(text()), str(better)], ALWAYS, {})
    assert (found.records, found.unknown_records, found.results) == (1, 1, [])
    assert "logs of one run that differ" in found.method.gaps[0]


def test_a_log_of_the_end_replaces_one_of_the_middle(text, zipped):
    begun = zipped(archive(("_journal/start.json", {k: header()[k] for k in ("version", "eval")}), *SAMPLES[:1]))
    alone = collect([str(begun)], ALWAYS, {})
    assert (alone.records, alone.unknown_records, alone.results) == (1, 1, [])
    assert "no end" in alone.method.gaps[0]
    assert collect([str(begun), str(text())], ALWAYS, {}).unknown_records == 0
    later = Window(seconds("2026-07-06T08:00:01Z"), 1 << 40)
    assert collect([str(begun)], later, {}).records == 0  # it began before, and ended in no window


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "cancelled"}, "status cancelled"),
        ({"status": "error"}, "status error"),
        ({"status": "started", "stats__completed_at": ""}, "no end"),
        ({"results": None}, "not all samples"),
        ({"results__completed_samples": 3}, "not all samples"),
        ({"results__completed_samples": 0, "results__total_samples": 0, "eval__dataset__sample_ids": []}, "not all"),
        ({"results__completed_samples": 3, "results__total_samples": 3}, "not all samples"),  # of two, twice
        ({"samples": [{}]}, "does not hold the samples"),
        ({"samples": ...}, "does not hold the samples"),
        ({"results__scores": []}, "no score"),
        ({"results__scores": None}, "no score"),
        ({"results__scores__0__metrics": {"stderr": {"value": 0.1}}}, "no score"),
        ({"eval__run_id": "..."}, "made by hand"),
        ({"eval__model": ""}, "made by hand"),
        ({"invalidated": True}, "invalidated"),
    ],
)
def test_why_a_run_is_no_result(text, changes, reason):
    found = collect([str(text(**changes))], ALWAYS, {})
    assert (found.records, found.unknown_records, found.results, found.coverage) == (1, 1, [], 0)
    assert len(found.method.gaps) == 1
    assert reason in found.method.gaps[0]


def test_samples_that_were_not_to_be_kept_are_not_missed(text):
    assert collect([str(text(samples=..., eval__config={"epochs": 2, "log_samples": False}))], ALWAYS, {}).results


def test_the_standard_error_goes_with_the_mean(text):
    metrics = {"accuracy": {"value": 0.5}, "stderr": {"value": 1e-5}, "std": {"value": 1}}
    found = collect([str(text(results__scores__0__metrics=metrics))], ALWAYS, {})
    told = {result["metric"]: (result["value"], result["stderr"]) for result in found.results}
    assert told == {"accuracy": ("0.5", "0.00001"), "std": ("1", None)}


def test_samples_without_a_score_are_told(text):
    found = collect([str(text(results__scores__0__unscored_samples=1))], ALWAYS, {})
    assert found.results[0]["n"] == 3
    assert found.method.gaps == ("log.json: 1 of 4 samples lack match",)


# ── bad input ──


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"eval": None}, "eval: expected an object, found nothing"),
        ({"version": "2"}, "version: expected an integer"),
        ({"version": True}, "version: expected an integer"),
        ({"version": 4}, "version 1 to 3"),
        ({"status": "fine"}, "with a status"),
        ({"status": None}, "status: expected a text"),
        ({"eval__run_id": 7}, "eval.run_id: expected a text"),
        ({"eval__task_id": ...}, "eval.task_id: expected a text"),
        ({"eval__model": None}, "eval.model: expected a text"),
        ({"eval__dataset": []}, "eval.dataset: expected an object"),
        ({"eval__dataset__samples": -1}, "at least 0"),
        ({"eval__dataset__sample_ids": 2}, "sample_ids: expected a list"),
        ({"eval__config": [1]}, "eval.config: expected an object"),
        ({"eval__config": {"epochs": 1.5}}, "epochs: expected an integer"),
        ({"results": [1]}, "results: expected an object"),
        ({"results__completed_samples": None}, "completed_samples: expected an integer"),
        ({"results__scores": {"match": 1}}, "results.scores: expected a list"),
        ({"results__scores": [None]}, r"results.scores\[0\]"),
        ({"results__scores__0__metrics": {"accuracy": 0.5}}, "metrics.accuracy: expected an object"),
        ({"results__scores__0__metrics": {"accuracy": {"value": "0.5"}}}, "value: expected a number"),
        ({"results__scores__0__metrics": {"accuracy": {"value": None}}}, "value: expected a number"),
        ({"results__scores__0__metrics": {"accuracy": {"value": True}}}, "accuracy: expected a number"),
        ({"results__scores__0__metrics": {"accuracy": {"value": float("nan")}}}, "accuracy: expected a finite number"),
        ({"results__scores__0__metrics": {"accuracy": {"value": float("inf")}}}, "expected a finite number"),
        ({"results__scores__0__metrics": {"accuracy": {"value": 10**400}}}, "expected a finite number"),
        ({"stats__started_at": "yesterday"}, "expected a time with its zone"),
        ({"stats__completed_at": "2026-07-06T10:00:00"}, "expected a time with its zone"),
        ({"stats__completed_at": 1_783_296_000}, "completed_at: expected a text"),
        ({"stats__model_usage": {"m": {"total_tokens": None}}}, "total_tokens"),
        ({"samples": 4}, "samples: expected a list"),
    ],
)
def test_what_no_inspect_writes(text, changes, match):
    with pytest.raises(Malformed, match=match) as caught:
        collect([str(text(**changes))], ALWAYS, {})
    assert "log.json" in str(caught.value)


def test_a_number_that_is_none_does_not_matter_where_it_is_no_result(text):
    metrics = {"accuracy": {"value": float("nan")}}
    found = collect([str(text(status="cancelled", results__scores__0__metrics=metrics))], ALWAYS, {})
    assert found.unknown_records == 1


@pytest.mark.parametrize("left", [0, 1, 30, 400, -30, -1])
def test_half_a_log(tmp_path, text, zipped, left):
    for whole in (text(), zipped()):
        path = tmp_path / f"half{whole.suffix}"
        path.write_bytes(whole.read_bytes()[:left])
        with pytest.raises(Malformed, match="half"):
            collect([str(path)], ALWAYS, {})


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"\xff\xfe{}", "UTF-8, byte 0"),
        (b"[" * 200_000, "sensible depth"),
        (b'{"version": ' + b"9" * 5_000 + b"}", "numbers of a sensible length"),
        (b'{"version": 2, "version": 2}', "twice"),
        (b"[]", "log: expected an object"),
        (b"{}", "version: expected an integer"),
        (b"null", "log: expected an object"),
    ],
)
def test_bad_json(tmp_path, raw, match):
    path = tmp_path / "log.json"
    path.write_bytes(raw)
    with pytest.raises(Malformed, match=match):
        read(path)


def test_a_zip_bomb_is_not_unpacked(zipped):
    bomb = archive(*SAMPLES, ("header.json", b" " * (logs.MAX_HEADER + 1)))
    assert len(bomb) < 100_000
    with pytest.raises(Malformed, match="at most 33554432 bytes of JSON, found 33554433"):
        read(zipped(bomb))
    # and one that lies about its size
    lying = bomb.replace(struct.pack("<I", logs.MAX_HEADER + 1), struct.pack("<I", 100))
    with pytest.raises(Malformed, match="expected a zip archive, whole"):
        read(zipped(lying))


def test_a_log_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_JSON", 1_000)
    path = tmp_path / "log.json"
    path.write_text(json.dumps(header(padding="x" * 1_000)))
    with pytest.raises(Malformed, match="at most 1000 bytes of JSON"):
        read(path)


@pytest.mark.parametrize(
    "name", ["../header.json", "/header.json", "samples/../../x", "..\\header.json", "\\x", "samples/\u0000x.json"]
)
def test_path_tricks(zipped, name):
    raw = archive((name.replace("\0", "!"), "{}"), ("header.json", header()))
    with pytest.raises(Malformed, match="expected a name inside of the archive"):
        read(zipped(raw.replace(b"samples/!", b"samples/\0")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["header.json", "samples/1_epoch_1.json"])
def test_a_member_twice(zipped, name):
    raw = archive(*SAMPLES, ("header.json", header(status="error")), (name, header()))
    with pytest.raises(Malformed, match="expected no member twice"):
        read(zipped(raw))


def patched(raw, offset, value):
    """The last entry of the directory of a zip, with two bytes changed."""
    place = raw.rindex(b"PK\x01\x02") + offset
    return raw[:place] + struct.pack("<H", value) + raw[place + 2 :]


def test_encrypted_and_strangely_compressed_members(zipped):
    raw = zipped().read_bytes()
    with pytest.raises(Malformed, match="expected no encryption"):
        read(zipped(patched(raw, 8, 1)))
    with pytest.raises(Malformed, match="found compression method 93"):
        read(zipped(patched(raw, 10, 93)))
    with pytest.raises(Malformed, match="found compression method 14"):
        read(zipped(archive(("header.json", header()), method=zipfile.ZIP_LZMA)))


def test_a_directory_that_points_before_the_beginning(zipped):
    raw = zipped().read_bytes()
    place = raw.rindex(b"PK\x05\x06") + 16
    (offset,) = struct.unpack_from("<I", raw, place)
    with pytest.raises(Malformed, match="points before its beginning"):
        read(zipped(raw[:place] + struct.pack("<I", offset + 10_000) + raw[place + 4 :]))


def test_a_header_that_does_not_match_its_sum(zipped):
    raw = zipped(archive(*SAMPLES, ("header.json", header()), method=zipfile.ZIP_STORED)).read_bytes()
    with pytest.raises(Malformed, match="CRC"):
        read(zipped(raw.replace(b"0.75", b"0.95")))


def test_a_zip_that_is_no_log(zipped):
    with pytest.raises(Malformed, match="found neither"):
        read(zipped(archive(("evil.json", "{}"))))


def test_hostile_names_come_out_as_escapes(tmp_path, text):
    text("a\x1b[31m\u202e;rm -rf.json", eval__task="\x1b]0;owned\x07", eval__model="m\nm\ud800")
    text("b\x07.json", status="error", eval__run_id="r2")
    found = collect([str(tmp_path)], ALWAYS, {})
    for told in (found.method.query, *found.method.gaps):
        assert told.isascii()
        assert told.isprintable()
    assert found.results[0]["task"] == "\x1b]0;owned\x07"
    raw = json.dumps(found.json())
    assert raw.isascii()
    assert raw.isprintable()


# ── files and directories ──


def test_directories_are_walked_in_order_and_only_for_logs(tmp_path, text, zipped):
    (tmp_path / "deeper").mkdir()
    text("deeper/b.json", eval__run_id="r2")
    zipped(name="a.eval")
    (tmp_path / "notes.txt").write_text("none of ours")
    (tmp_path / "eval-set.json").write_text('{"eval_set_id": "x", "tasks": []}')
    found = collect([str(tmp_path)], ALWAYS, {})
    assert [result["run_id"] for result in found.results] == ["r1", "r2"]
    assert "JSON files in directories that are no logs: eval-set.json" in found.method.filters
    with pytest.raises(Malformed, match=r"eval-set.json: version"):
        collect([str(tmp_path / "eval-set.json")], ALWAYS, {})


def test_links_to_directories_are_not_followed(tmp_path, text):
    inner = tmp_path / "logs"
    inner.mkdir()
    shutil.move(text(), inner / "log.json")
    (inner / "loop").symlink_to(inner, target_is_directory=True)
    found = collect([str(inner)], ALWAYS, {})
    assert found.records == 1
    assert "links to directories were not followed" in found.method.gaps[0]


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.eval")
    for place in (tmp_path / "absent.eval", tmp_path / "pipe.eval", tmp_path):
        with pytest.raises(UsageFault):
            collect([str(place)], ALWAYS, {})


def test_there_are_no_options(text):
    with pytest.raises(UsageFault, match="no such option"):
        collect([str(text())], ALWAYS, {"colour": "red"})


def test_it_is_found_by_the_door_that_strangers_use():
    assert base.find("inspect_ai") is collect
