# SPDX-License-Identifier: Apache-2.0
"""Results files of the evaluation harness, as 0.4.9 writes them, and everything that can be wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pausectl.agreement.types import seconds
from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors import base, logs
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.lm_eval import collect, read

ALWAYS = Window(0, 1 << 40)
STARTED = seconds("2026-07-06T10:00:00Z")


def results(**changes):
    """A sound file: two tasks of a group, with its mean, and one alone. A name like config__limit lies deeper."""
    tasks = {
        "mmlu_law": {"alias": " - law", "acc,none": 0.25, "acc_stderr,none": 0.125},
        "mmlu_math": {"alias": " - math", "acc,none": 0.5, "acc_stderr,none": "N/A"},
        "gsm8k": {
            "alias": "gsm8k", "exact_match,strict-match": 0.0, "exact_match_stderr,strict-match": 0.0,
            "exact_match,flexible-extract": 0.3333333333333333,
            "exact_match_stderr,flexible-extract": 0.33333333333333337,
        },
    }  # fmt: skip
    mean = {"alias": "mmlu", "acc,none": 0.375, "acc_stderr,none": 0.1}
    made = {
        "results": {"mmlu": mean, **tasks},
        "groups": {"mmlu": mean},
        "group_subtasks": {"mmlu": ["mmlu_law", "mmlu_math"], "gsm8k": []},
        "configs": {"gsm8k": {"task": "gsm8k", "repeats": 1, "metric_list": [{"metric": "exact_match"}]}},
        "versions": {"mmlu": 2, "mmlu_law": 1.0, "mmlu_math": "Yaml", "gsm8k": 3.0},
        "n-shot": {"mmlu_law": 5, "mmlu_math": 5, "gsm8k": 8},
        "higher_is_better": {"gsm8k": {"exact_match": True}},
        "n-samples": {
            "mmlu_law": {"original": 1534, "effective": 4},
            "mmlu_math": {"original": 100, "effective": 1},
            "gsm8k": {"original": 1319, "effective": 3},
        },
        "config": {"model": "hf", "model_args": "pretrained=lab/model,dtype=bfloat16", "limit": None},
        "git_hash": "02bb9278", "date": STARTED + 0.25, "lm_eval_version": "0.4.9.2", "upper_git_hash": None,
        "task_hashes": {}, "model_source": "hf", "model_name": "lab/model", "chat_template": None,
        "start_time": 1199581.3, "end_time": 1199641.5, "total_evaluation_time_seconds": "60.5",
    }  # fmt: skip
    for path, value in changes.items():
        *above, last = path.split("__")
        place = made
        for name in above:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return made


@pytest.fixture
def file(tmp_path):
    def make(name="results_2026-07-06T10-01-00.json", n_samples=None, **changes):
        path = tmp_path / name
        value = results(**changes)
        if n_samples is not None:
            value["n-samples"] = n_samples
        path.write_text(json.dumps(value))
        return str(path)

    return make


def test_a_file_whole(file):
    path = file()
    found = collect([path], ALWAYS, {})
    assert (found.records, found.unknown_records, found.coverage) == (3, 0, 1)
    told = {(r["task"], r["metric"], r["scorer"]): (r["value"], r["stderr"], r["n"]) for r in found.results}
    assert told == {
        ("mmlu_law", "acc", "none"): ("0.25", "0.125", 4),
        ("mmlu_math", "acc", "none"): ("0.5", None, 1),
        ("gsm8k", "exact_match", "strict-match"): ("0.0", "0.0", 3),
        ("gsm8k", "exact_match", "flexible-extract"): ("0.3333333333333333", "0.33333333333333337", 3),
    }
    one = found.results[0]
    digest = one.pop("log")
    assert one == {
        "task": "mmlu_law", "task_version": "1.0", "model": "lab/model", "metric": "acc", "scorer": "none",
        "value": "0.25", "n": 4, "dataset_samples": 1534, "stderr": "0.125", "epochs": 1, "n_shot": 5,
        "status": "success", "started_at": "2026-07-06T10:00:00Z", "completed_at": "2026-07-06T10:01:00Z",
        "run_id": None,
    }  # fmt: skip
    assert found.method.query == f"results_2026-07-06T10-01-00.json sha256:{digest}"
    assert found.method.version == "0.4.9.2"
    assert "groups, of which the tasks count: mmlu" in found.method.filters
    assert found.method.gaps == ()


def test_a_group_without_its_tasks_is_not_a_result_but_a_gap(file):
    found = collect([file(results__mmlu_law=..., results__mmlu_math=...)], ALWAYS, {})
    assert {result["task"] for result in found.results} == {"gsm8k"}
    assert (found.records, found.unknown_records) == (3, 2)
    assert "2 not counted as results: no result is told (mmlu_law in results_" in found.method.gaps[0]


def test_a_group_that_has_no_mean(file):
    """It then stands in the results as one blank."""
    found = collect([file(results__mmlu={" ": " ", "alias": "mmlu"}, groups=...)], ALWAYS, {})
    assert (found.records, found.unknown_records) == (3, 0)


def test_a_window_is_by_completion(file):
    path, end = file(), STARTED + 60
    assert collect([path], Window(end, end + 1), {}).records == 3
    assert collect([path], Window(STARTED, end), {}).records == 0
    untimed = file("other.json", total_evaluation_time_seconds=...)
    found = collect([untimed], Window(STARTED, end), {})
    assert found.records == 3
    assert "how long it took is not told" in found.method.gaps[0]


@pytest.mark.parametrize(
    ("changes", "model"),
    [
        ({}, "lab/model"),
        ({"model_name": ""}, "lab/model"),
        ({"model_name": ..., "config__model_args": {"pretrained": "weights/m", "tensor_parallel": 8}}, "weights/m"),
        ({"model_name": None, "config__model_args": "pretrained=base,peft=adapter"}, "adapter"),
        ({"model_name": "", "config__model_args": "model=gpt-x,url=http://127.0.0.1/?a=b"}, "gpt-x"),
    ],
)  # fmt: skip
def test_the_model(file, changes, model):
    assert {result["model"] for result in collect([file(**changes)], ALWAYS, {}).results} == {model}


@pytest.mark.parametrize(
    ("changes", "unknown", "reason"),
    [
        ({"n_samples": {"mmlu_law": {"effective": 4}, "mmlu_math": {"effective": 1}}}, 1, "how many samples"),
        ({"n_samples": {}}, 3, "how many samples"),
        ({"n_samples": {**results()["n-samples"], "gsm8k": {"original": 7}}}, 1, "how many samples"),
        ({"n_samples": {**results()["n-samples"], "gsm8k": {"effective": 0}}}, 1, "how many samples"),
        ({"results__gsm8k": {"alias": "gsm8k"}}, 1, "no metric"),
        ({"results__gsm8k": {"alias": "gsm8k", "bypass,none": 999}}, 1, "no metric"),  # --predict_only
        ({"results__gsm8k": ...}, 1, "no result"),
        ({"model_name": "", "config__model_args": ""}, 3, "no model"),
        ({"model_name": "", "config": None}, 3, "no model"),
    ],
)
def test_why_a_task_is_no_result(file, changes, unknown, reason):
    found = collect([file(**changes)], ALWAYS, {})
    assert (found.records, found.unknown_records) == (3, unknown)
    assert len({result["task"] for result in found.results}) == 3 - unknown
    assert reason in found.method.gaps[0]


def test_copies_count_once_and_contradictions_not_at_all(file):
    again = file("results_copy.json", pretty_env_info="elsewhere")
    found = collect([file(), file(), again], ALWAYS, {})
    assert (found.records, found.unknown_records, len(found.results)) == (3, 0, 4)
    better = file("results_better.json", results__gsm8k={"exact_match,strict-match": 1.0})
    found = collect([file(), better, again], ALWAYS, {})
    assert (found.records, found.unknown_records) == (3, 1)
    assert {result["task"] for result in found.results} == {"mmlu_law", "mmlu_math"}
    assert "files of one run that differ (gsm8k in results_better.json)" in found.method.gaps[0]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"results": ...}, "results: expected an object, found nothing"),
        ({"results": []}, "results: expected an object"),
        ({"results__gsm8k": None}, "results.gsm8k: expected an object, found nothing"),
        ({"results__gsm8k": {"acc,none": float("nan")}}, "gsm8k.acc,none: expected a finite number, found nan"),
        ({"results__gsm8k": {"acc,none": float("-inf")}}, "expected a finite number"),
        ({"results__gsm8k": {"acc,none": None}}, "acc,none: expected a number, found nothing"),
        ({"results__gsm8k": {"acc,none": "N/A"}}, "acc,none: expected a number, found 'N/A'"),
        ({"results__gsm8k": {"acc,none": True}}, "expected a number, found True"),
        ({"results__gsm8k": {"acc,none": 1, "acc_stderr,none": float("nan")}}, "acc_stderr,none: expected a finite"),
        ({"results__gsm8k": {"acc,none": 1, "acc_stderr,none": None}}, "acc_stderr,none: expected a number"),
        ({"date": ...}, "date: expected a number, found nothing"),
        ({"date": "2026-07-06"}, "date: expected a number"),
        ({"date": float("nan")}, "date: expected a finite number"),
        ({"date": -1}, "expected POSIX seconds"),
        ({"date": 1e20}, "expected POSIX seconds"),
        ({"total_evaluation_time_seconds": "long"}, "seconds: expected a number, found 'long'"),
        ({"total_evaluation_time_seconds": "nan"}, "seconds: expected a finite number"),
        ({"total_evaluation_time_seconds": "-5"}, "expected POSIX seconds"),
        ({"total_evaluation_time_seconds": []}, "seconds: expected a number"),
        ({"n_samples": []}, None),
        ({"n_samples": [1]}, "n-samples: expected an object"),
        ({"n_samples": {"gsm8k": 3}}, "n-samples.gsm8k: expected an object"),
        ({"n_samples": {"gsm8k": {"effective": "3"}}}, "effective: expected an integer"),
        ({"n_samples": {"gsm8k": {"effective": -3}}}, "at least 0"),
        ({"group_subtasks": {"mmlu": "mmlu_law"}}, "group_subtasks.mmlu: expected a list"),
        ({"group_subtasks": {"mmlu": [1]}}, "group_subtasks.mmlu: expected a text"),
        ({"config__model_args": [1], "model_name": ""}, "model_args: expected an object"),
        ({"model_name": 7}, "model_name: expected a text"),
        ({"n-shot": {"gsm8k": "8"}}, "n-shot.gsm8k: expected an integer"),
        ({"configs": {"gsm8k": {"repeats": None}}}, None),
        ({"configs": {"gsm8k": [1]}}, "configs.gsm8k: expected an object"),
        ({"lm_eval_version": 4}, "lm_eval_version: expected a text"),
    ],
)
def test_what_no_harness_writes(file, changes, match):
    path = file(**changes)
    if match is None:  # empty is as good as absent
        assert read_tasks(path) == 3
        return
    with pytest.raises(Malformed, match=match) as caught:
        collect([path], ALWAYS, {})
    assert "results_2026" in str(caught.value)


def read_tasks(path):
    return collect([path], ALWAYS, {}).records


@pytest.mark.parametrize("left", [0, 1, 500, -2])
def test_half_a_file(tmp_path, file, left):
    path = tmp_path / "results_half.json"
    path.write_text(Path(file()).read_text()[:left])
    with pytest.raises(Malformed, match=r"results_half.json: expected JSON, whole"):
        collect([str(path)], ALWAYS, {})


def test_a_file_that_is_too_long(file, monkeypatch):
    monkeypatch.setattr(logs, "MAX_HEADER", 1_000)
    with pytest.raises(Malformed, match="at most 1000 bytes of JSON"):
        collect([file()], ALWAYS, {})


def test_a_task_twice(tmp_path):
    path = tmp_path / "results_twice.json"
    path.write_text('{"results": {"a": {"acc,none": 0.1}, "a": {"acc,none": 0.9}}, "date": 1}')
    with pytest.raises(Malformed, match="no member of an object twice"):
        collect([str(path)], ALWAYS, {})


def test_hostile_names_come_out_as_escapes(file, tmp_path):
    evil = "\x1b]0;owned\x07"
    file("results_\x1b[31m.json", results={evil: {"acc,none": 1}}, groups={}, group_subtasks={},
         n_samples={evil: {"effective": 1}, "\u202e": {"effective": 1}})  # fmt: skip
    found = collect([str(tmp_path)], ALWAYS, {})
    for told in (found.method.query, *found.method.gaps, *found.method.filters):
        assert told.isprintable()
    assert found.results[0]["task"] == evil
    assert json.dumps(found.json()).isprintable()
    with pytest.raises(Malformed) as caught:
        collect([file(results={evil: None})], ALWAYS, {})
    assert str(caught.value).isprintable()


def test_directories(file, tmp_path):
    (tmp_path / "lab__model").mkdir()
    (tmp_path / "lab__model" / "loop").symlink_to(tmp_path, target_is_directory=True)
    file("lab__model/results_1.json")
    file("lab__model/other.json")
    (tmp_path / "lab__model" / "samples_gsm8k_1.jsonl").write_text("{}\n")
    found = collect([str(tmp_path)], ALWAYS, {})
    assert found.records == 3
    assert found.method.query.startswith("results_1.json")
    assert "links to directories were not followed" in found.method.gaps[0]


def test_mistakes(file, tmp_path):
    for path, options in ((tmp_path / "absent.json", {}), (file(), {"colour": "red"})):
        with pytest.raises(UsageFault):
            collect([str(path)], ALWAYS, options)


def test_a_file_by_itself(tmp_path, file):
    known = read(tmp_path / file().rpartition("/")[2])
    assert (known.started, known.completed, known.groups) == (STARTED + 0.25, STARTED + 60.75, ("mmlu",))


def test_it_is_found_by_the_door_that_strangers_use():
    assert base.find("lm_eval") is collect
