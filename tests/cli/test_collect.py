# SPDX-License-Identifier: Apache-2.0
"""`lab collect`: one shape for all, for people and for programs."""

from __future__ import annotations

WINDOW = "2026-07-06T00:00:00Z/2026-07-13T00:00:00Z"
TEXT = """JobID|State|Start|End|Elapsed|NodeList|AllocTRES
1|CANCELLED by 5|2026-07-05T23:00:00|2026-07-06T01:00:00|02:00:00|gpu1|gres/gpu=8
2|COMPLETED|2026-07-06T00:00:00|2026-07-06T01:00:00|01:00:00|gpu1|cpu=8
"""


def test_the_shape(run, tmp_path):
    (tmp_path / "jobs.txt").write_text(TEXT)
    done = run("lab", "collect", "slurm", tmp_path / "jobs.txt", "--window", WINDOW, "--json")
    assert done.code == 0
    found = done.json
    method = found.pop("method")
    assert found == {
        "accelerator_seconds": 28_800, "by_state": {"CANCELLED": 28_800}, "unknown_records": 1, "records": 2,
        "coverage": 0.5,
    }  # fmt: skip
    assert set(method) == {"source", "version", "query", "filters", "gaps"}
    assert "jobs.txt sha256:" in method["query"]


def test_for_people_what_is_not_known_is_told_apart(run, tmp_path):
    (tmp_path / "jobs.txt").write_text(TEXT)
    done = run("lab", "collect", "slurm", tmp_path / "jobs.txt", "--window", WINDOW, "-O", "timezone=UTC")
    assert "accelerator_seconds: 28800" in done.out
    assert "not known: 1 jobs ran where there are GPUs" in done.err


def test_mistakes(run, tmp_path):
    (tmp_path / "jobs.txt").write_text(TEXT)
    path = tmp_path / "jobs.txt"
    for arguments in (
        ("abacus", path, "--window", WINDOW),
        ("slurm", path, "--window", "2026-07-06T00:00:00Z"),
        ("slurm", path, "--window", "2026-07-13T00:00:00Z/2026-07-06T00:00:00Z"),
        ("slurm", path, "--window", WINDOW, "-O", "red"),
        ("slurm", tmp_path / "none", "--window", WINDOW),
    ):
        assert run("lab", "collect", *arguments).code == 2
    path.write_text("half")
    assert run("lab", "collect", "slurm", path, "--window", WINDOW).code == 4


def test_the_list(run):
    assert "slurm\n" in run("lab", "collectors").out
