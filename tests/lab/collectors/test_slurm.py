# SPDX-License-Identifier: Apache-2.0
"""Slurm: the totals of three real files, and every trap that is in them."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction

import pytest

from pausectl.agreement.types import seconds
from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors import base, sacct
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.slurm import collect

ALWAYS = Window(0, 1 << 40)
XDMOD = (
    "jobid,jobidraw,cluster,partition,qos,account,group,gid,user,uid,submit,eligible,start,end,elapsed,exitcode,state,"
    "nnodes,ncpus,reqcpus,reqmem,reqtres,alloctres,timelimit,nodelist,jobname"
)
HABROK = (
    "JobID,JobName,User,Partition,NodeList,NNodes,NCPUs,NTasks,State,Submit,Start,End,Timelimit,Elapsed,TotalCPU,CPUTime,"
    "UserCPU,SystemCPU,ReqMem,MaxRSS,MaxVMSize,ReqTRES,AllocTRES,TRESUsageInMax,TRESUsageInTot,TRESUsageOutTot,"
    "MaxDiskRead,MaxDiskWrite,MaxRSSNode,MaxRSSTask,MaxVMSizeNode,MaxVMSizeTask,MaxDiskReadNode,MaxDiskReadTask,"
    "MaxDiskWriteNode,MaxDiskWriteTask,Comment"
)
HEAD = "JobID|State|Start|End|Elapsed|NodeList|AllocTRES"


@pytest.fixture
def answers(shared):
    return json.loads(shared("data/known_answers.json").read_text())["facts"]["slurm_sacct"]


@pytest.fixture
def files(shared):
    return shared("data/slurm_sacct")


@pytest.fixture
def table(tmp_path):
    def make(*lines, head=HEAD, name="jobs.txt"):
        path = tmp_path / name
        path.write_text("\n".join((head, *lines)) + "\n", encoding="utf-8")
        return str(path)

    return make


def job(identity="1", state="COMPLETED", start="2026-07-06T00:00:00", end="2026-07-06T01:00:00", **other):
    elapsed, nodes, tres = other.get("elapsed", "01:00:00"), other.get("nodes", "n1"), other.get("tres", "gres/gpu=2")
    return f"{identity}|{state}|{start}|{end}|{elapsed}|{nodes}|{tres}"


# ── what three sites had ──


@pytest.mark.parametrize("name", ["xdmod_phillips.psv", "xdmod_pozidriv.psv.gz"])
def test_the_totals_of_two_clusters(files, answers, name):
    known = answers[name.partition(".")[0]]
    found = collect([str(files / name)], ALWAYS, {"fields": XDMOD})
    assert found.records == known["rows"]["value"]
    assert found.accelerator_seconds == known["accelerator_seconds"]["value"]
    assert found.by_state == known["accelerator_seconds_by_state"]["value"]


def test_cancelled_jobs_are_nearly_everything(files):
    found = collect([str(files / "xdmod_phillips.psv")], ALWAYS, {"fields": XDMOD})
    assert found.by_state["CANCELLED"] / found.accelerator_seconds > 0.9999


def test_a_day_of_a_job_that_ran_for_ten(files, answers):
    day = Window(seconds("2017-01-01T00:00:00Z"), seconds("2017-01-02T00:00:00Z"))
    found = collect([str(files / "xdmod_phillips.psv")], day, {"fields": XDMOD})
    assert found.accelerator_seconds == answers["xdmod_phillips"]["accelerator_seconds_window_2017_01_01"]["value"]


def test_a_file_that_never_names_a_gpu_knows_nothing_of_gpus(files):
    found = collect([str(files / "xdmod_pozidriv.psv.gz")], ALWAYS, {"fields": XDMOD})
    assert found.unknown_records > 10_000
    assert found.coverage < Fraction(1, 10)
    assert any("AccountingStorageTRES" in gap for gap in found.method.gaps)


@pytest.mark.parametrize("with_nodes", [False, True])
def test_habrok_with_typed_gpus_steps_running_jobs_and_a_year_without_accounting(files, answers, with_nodes):
    known = answers["habrok"]
    options = {"fields": HABROK, "delimiter": "\u2603"}
    if with_nodes:
        options["nodes"] = str(files / "habrok_scontrol.txt")
    found = collect([str(files / "habrok_sacct.txt")], ALWAYS, options)
    assert found.records == known["allocation_rows"]["value"]
    assert found.accelerator_seconds == known["accelerator_seconds_known"]["value"]
    assert found.by_state == known["accelerator_seconds_known_by_state"]["value"]
    assert found.unknown_records == known["jobs_with_unknown_gpu_accounting"]["value"]
    bound = str(known["unknown_accelerator_seconds_upper_bound"]["value"])
    assert any(bound in gap for gap in found.method.gaps) == with_nodes


def test_one_file_twice_counts_once(files):
    path = str(files / "xdmod_phillips.psv")
    once, twice = (collect([path] * times, ALWAYS, {"fields": XDMOD}) for times in (1, 2))
    assert (once.records, once.accelerator_seconds) == (twice.records, twice.accelerator_seconds)


# ── every trap by itself ──


@pytest.mark.parametrize(
    ("tres", "devices"),
    [
        ("cpu=8,gres/gpu:v100=1,gres/gpu=1", 1),
        ("gres/gpu:a100=4,gres/gpu:h100=2", 6),
        ("gres/gpu=0", 0),
        ("gres/gpumem=40G,cpu=1", 0),
        ("", 0),
    ],
)
def test_typed_and_untyped_are_the_same_devices(tres, devices):
    assert sacct.gpus(tres) == devices


def test_every_state_counts_and_who_cancelled_does_not_matter(table):
    states = ("COMPLETED", "CANCELLED by 7", "FAILED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE")
    found = collect([table(*(job(str(n), state) for n, state in enumerate(states)))], ALWAYS, {})
    assert found.accelerator_seconds == len(states) * 7_200
    assert found.by_state["CANCELLED"] == 7_200


def test_steps_are_their_jobs_and_a_requeue_is_another_hold(table):
    later = job("1", "COMPLETED", "2026-07-06T02:00:00", "2026-07-06T03:00:00")
    found = collect([table(job(state="REQUEUED"), job("1.batch"), job("1.0"), later)], ALWAYS, {})
    assert (found.records, found.accelerator_seconds) == (2, 14_400)


def test_what_never_started_held_nothing_and_what_runs_counts_up_to_the_file(table):
    lines = [
        job("1", "PENDING", "Unknown", "Unknown", elapsed="00:00:00", nodes="None assigned", tres=""),
        job("2", "CANCELLED by 1", "None", "2026-07-06T01:00:00", elapsed="00:00:00", nodes="None assigned", tres=""),
        job("3", "RUNNING", end="Unknown", elapsed="1-00:00:10"),
    ]
    found = collect([table(*lines)], ALWAYS, {})
    assert found.accelerator_seconds == 2 * 86_410
    assert any("still running" in gap for gap in found.method.gaps)


def test_local_time_across_the_change_of_clocks(table):
    path = table(job(start="2026-10-25T00:00:00", end="2026-10-25T06:00:00", elapsed="07:00:00", tres="gres/gpu=1"))
    assert collect([path], ALWAYS, {"timezone": "Europe/Amsterdam"}).accelerator_seconds == 7 * 3600
    assert collect([path], ALWAYS, {}).accelerator_seconds == 6 * 3600


def test_unix_seconds_are_what_they_are_in_every_zone(table):
    path = table(job(start="1783296000", end="1783299600"))
    assert collect([path], ALWAYS, {"timezone": "Asia/Tokyo"}).accelerator_seconds == 7_200


def test_suspended_time_is_held_time_and_is_told(table):
    found = collect([table(job(elapsed="00:10:00"))], ALWAYS, {})
    assert found.accelerator_seconds == 7_200
    assert any("suspended" in gap for gap in found.method.gaps)


def test_a_delimiter_in_the_name_of_a_job(table):
    last = table(job() + "|a|b", head=f"{HEAD}|JobName")
    assert collect([last], ALWAYS, {}).records == 1
    first = table(f"a|b|{job()}", head=f"JobName|{HEAD}", name="first.txt")
    with pytest.raises(Malformed, match=r"line 2: expected 8 fields, found 9"):
        collect([first], ALWAYS, {})


def test_both_ends_of_a_line(table):
    parsable = table(f"{job()}|", head=f"{HEAD}|")
    marked = table(job(), head=f"\ufeff{HEAD}", name="marked.txt")
    assert collect([parsable, marked], ALWAYS, {}).records == 1


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (job(end="2026-07-05T00:00:00"), "expected no time before Start"),
        (job(start="yesterday"), "expected a time like"),
        (job(elapsed="-1:00:00"), "Elapsed: expected"),
        (job(elapsed="soon"), "Elapsed: expected"),
        (job() + "|more", "expected 7 fields, found 8"),
        ("half a line", "expected 7 fields, found 1"),
        (job("2", "RUNNING", end="Unknown", elapsed="", nodes="gpu1"), "has not ended, found none"),
        (job(nodes="gpu[1-x]", tres=""), "node list"),
    ],
)
def test_what_makes_no_sense_is_an_error_with_its_line(table, line, match):
    with pytest.raises(Malformed, match=match) as caught:
        collect([table(job("9", nodes="gpu7"), line)], ALWAYS, {})
    assert "line 3" in str(caught.value) or "'gpu[1-x]'" in str(caught.value)  # which is easily found


def test_no_header_and_no_fields(table):
    with pytest.raises(Malformed, match="found none for jobid") as caught:
        collect([table(head=job())], ALWAYS, {})
    assert "--fields" in caught.value.hint


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:20] + b"\x00" + raw[21:]])
def test_half_a_gzip(tmp_path, damage):
    path = tmp_path / "jobs.gz"
    path.write_bytes(damage(gzip.compress(f"{HEAD}\n{job()}\n".encode() * 50)))
    with pytest.raises(Malformed, match="gzip"):
        collect([str(path)], ALWAYS, {})


def test_no_such_zone_option_or_file(table, tmp_path):
    for path, options in ((table(), {"timezone": "Mars/Olympus"}), (table(), {"colour": "red"}), (tmp_path / "no", {})):
        with pytest.raises(UsageFault):
            collect([str(path)], ALWAYS, options)


def test_node_lists():
    assert sacct.nodes("n[01-03,7],m1") == ("n01", "n02", "n03", "n7", "m1")
    assert sacct.nodes("None assigned") == ()
    with pytest.raises(Malformed):
        sacct.nodes("n[1-999999999]")


def test_the_same_jobs_as_json(tmp_path):
    number = {"set": True, "infinite": False, "number": 100}
    held = {
        "job_id": 7, "array": {"job_id": 0, "task_id": {"set": False, "infinite": False, "number": 0}},
        "state": {"current": ["CANCELLED"]}, "nodes": "n1",
        "time": {"start": 1_783_296_000, "end": 1_783_299_600, "elapsed": 3_600},
        "tres": {"allocated": [{"type": "gres", "name": "gpu", "count": 2},
                               {"type": "gres", "name": "gpu:h100", "count": 2}], "requested": []},
    }  # fmt: skip
    element = held | {"array": {"job_id": 3, "task_id": number}, "time": held["time"] | {"end": 0, "elapsed": 60}}
    path = tmp_path / "jobs.json"
    path.write_text(json.dumps({"jobs": [held, element]}))
    found = collect([str(path)], ALWAYS, {})
    assert (found.records, found.accelerator_seconds) == (2, 7_200 + 120)
    path.write_text('{"jobs": [{"job_id": 1}]}')
    with pytest.raises(Malformed, match="sacct --json"):
        collect([str(path)], ALWAYS, {})


def test_it_is_found_by_the_door_that_strangers_use():
    assert "slurm" in base.names()
    assert base.find("slurm") is collect
    with pytest.raises(UsageFault, match="no collector"):
        base.find("abacus")
