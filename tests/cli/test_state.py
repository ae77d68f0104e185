# SPDX-License-Identifier: Apache-2.0
"""verify --state: going on gives what beginning again gives, and a state that is not its own is never used."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from pathlib import Path

import pytest

from pausectl.sim.world import Lab, World


class Giant(Lab):
    """Books four thousand times its fleet to one run."""

    def bookings(self, world, window, training):
        return [
            {**each, "accelerator_seconds": each["accelerator_seconds"] * 4_000}
            for each in super().bookings(world, window, training)
        ]


def verify(run, home: Path, *more: object, log: Path | None = None):
    return run("verify", log or home / "log", "--agreement", home / "agreement.json", "--json", *more)


def test_the_first_run_saves_and_the_next_goes_on(run, home, tmp_path):
    state = tmp_path / "state"
    first = verify(run, home, "--state", state)
    saved = state.read_bytes()
    line, digest = saved.split(b"\n")
    assert hashlib.sha256(line).hexdigest().encode() == digest
    again = verify(run, home, "--state", state)
    assert first.out == again.out == verify(run, home).out
    assert state.read_bytes() == saved


def test_after_more_entries_a_resumed_run_is_a_fresh_run_byte_for_byte(run, home, tmp_path, grow):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    seen = [state.read_bytes()]
    for day in range(8, 13):
        assert grow(home, f"2026-08-{day:02}T00:00:00Z", f"model {day}").code == 0
        resumed, fresh = verify(run, home, "--state", state), verify(run, home)
        assert resumed.out == fresh.out
        assert resumed.json["log"]["size"] > 72
        seen.append(state.read_bytes())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("jobs", [1, 2])
def test_jobs_change_nothing_about_going_on(run, home, tmp_path, grow, jobs):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    grow(home)
    assert verify(run, home, "--state", state, "--jobs", jobs).out == verify(run, home).out


@pytest.mark.parametrize("at", ["2026-07-18T00:00:00Z", "2026-08-06T00:00:00Z"])
def test_an_earlier_moment_leaves_the_state_aside_and_as_it_is(run, home, tmp_path, at):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    saved = state.read_bytes()
    assert verify(run, home, "--state", state, "--at", at).out == verify(run, home, "--at", at).out
    assert state.read_bytes() == saved


def test_a_state_saved_about_one_lab_serves_for_all(run, home, tmp_path):
    state = tmp_path / "state"
    assert verify(run, home, "--state", state, "--lab", "aurora").code == 0
    assert verify(run, home, "--state", state).out == verify(run, home).out


def refused(run, home: Path, state: Path, code: int, *more: object, log: Path | None = None) -> str:
    kept = state.read_bytes()
    done = verify(run, home, "--state", state, *more, log=log)
    assert done.code == code
    assert done.json["error"]["code"] == code
    assert str(state) in done.error
    assert state.read_bytes() == kept
    assert not [path for path in state.parent.iterdir() if path.name.endswith(".tmp")]
    return done.error


def test_a_state_of_another_agreement(run, home, tmp_path):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    world = World(windows=1, changes={"name": "Another agreement"}).run()
    for name, data in world.memory.files().items():
        (tmp_path / "other" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / name).write_bytes(data)
    (tmp_path / "other.json").write_bytes(world.agreement.raw)
    kept = state.read_bytes()
    done = run("verify", tmp_path / "other", "--agreement", tmp_path / "other.json", "--state", state)
    assert done.code == 2
    assert f"{state}: saved under another agreement" in done.error
    assert state.read_bytes() == kept


def test_a_state_from_a_forked_log(run, home, tmp_path, fork):
    state = tmp_path / "state"
    assert verify(run, home, "--state", state, log=fork / "log").code in (0, 1, 3)
    assert "two different trees" in refused(run, home, state, 4)


def test_a_state_ahead_of_the_log(run, home, demo, tmp_path, grow):
    state = tmp_path / "state"
    grow(home)
    verify(run, home, "--state", state)
    assert "rolled back" in refused(run, home, state, 3, log=demo / "log")


def test_a_checkpoint_seen_before_shows_that_a_log_is_rolled_back(run, home, demo, grow):
    grow(home)
    done = verify(run, home, "--seen", home / "log" / "checkpoint", log=demo / "log")
    assert done.code == 3
    assert "rolled back" in done.error


@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.5, 0.9, 0.99, 1.0])
def test_a_truncated_state(run, home, tmp_path, part):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    whole = state.read_bytes()
    state.write_bytes(whole[: min(int(len(whole) * part), len(whole) - 1)])
    refused(run, home, state, 4)


def test_an_edited_state(run, home, tmp_path):
    """The edit that somebody would make: a violation taken out."""
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    line, digest = state.read_bytes().split(b"\n")
    value = json.loads(line)
    value["judgement"]["findings"] = []
    for edited in (line.replace(b"VIOLATED", b"HOLDS   "), line.replace(b":72", b":71"), json.dumps(value).encode()):
        if edited != line:
            state.write_bytes(edited + b"\n" + digest)
            refused(run, home, state, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint": "x"}, {"checkpoint": 3}, {"agreement": None}, {"history": {}}, {"history": []},
        {"history": None},
        {"judgement": {}}, {"judgement": 1},
    ],
)  # fmt: skip
def test_a_state_with_a_right_digest_and_a_wrong_shape(run, home, tmp_path, change):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    line = json.dumps(json.loads(state.read_bytes().split(b"\n")[0]) | change).encode()
    state.write_bytes(line + b"\n" + hashlib.sha256(line).hexdigest().encode())
    refused(run, home, state, 2 if "agreement" in change else 4)


@pytest.mark.parametrize("raw", [b"", b"\n", b"{}", b"[" * 100_000, b"\xff\xfe", b"NaN"])
def test_a_state_that_is_none(run, home, tmp_path, raw):
    state = tmp_path / "state"
    for data in (raw, raw + b"\n" + hashlib.sha256(raw).hexdigest().encode()):
        state.write_bytes(data)
        refused(run, home, state, 4)


def test_a_state_that_is_a_directory_or_lies_nowhere(run, home, tmp_path, tree):
    (tmp_path / "folder").mkdir()
    before = tree(tmp_path)
    for place in (tmp_path / "folder", tmp_path / "no" / "such"):
        done = verify(run, home, "--state", place)
        assert done.code == 2
        assert str(place) in done.error
    assert tree(tmp_path) == before


def test_an_error_in_the_log_leaves_the_state_alone(run, home, tmp_path):
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    kept = state.read_bytes()
    shutil.rmtree(home / "log" / "tile")
    assert verify(run, home, "--state", state).code == 3
    assert state.read_bytes() == kept
    state.unlink()
    assert verify(run, home, "--state", state).code == 3
    assert not state.exists()


def test_sums_beyond_what_json_shows_exactly_are_saved_too(run, tmp_path):
    """A fleet of two million accelerators books more than 2^53 gflop in a window."""
    world = World(windows=5, pause_at=None)
    world.people["aurora"] = Giant("aurora")
    world.run()
    for name, data in world.memory.files().items():
        (tmp_path / "log" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "log" / name).write_bytes(data)
    (tmp_path / "agreement.json").write_bytes(world.agreement.raw)
    state = tmp_path / "state"
    first = verify(run, tmp_path, "--state", state)
    assert first.code in (0, 1, 3)
    assert max(_numbers(state)) > 2**53
    assert verify(run, tmp_path, "--state", state).out == first.out


def _numbers(state: Path) -> list[int]:
    found = json.loads(state.read_bytes().split(b"\n")[0])["history"]["records"]
    return [booked for record in found.values() for _, _, booked in record["runs"].values()]


def test_a_state_is_replaced_and_not_overwritten_in_place(run, home, tmp_path):
    """Whoever has it open, or loses power, has the old one or the new one."""
    state = tmp_path / "state"
    verify(run, home, "--state", state)
    inode = state.stat().st_ino
    with state.open("rb") as old:
        verify(run, home, "--state", state)
        assert state.stat().st_ino != inode
        assert old.read() == state.read_bytes()
    assert stat.S_ISREG(state.stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "state"]
