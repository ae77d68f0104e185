# SPDX-License-Identifier: Apache-2.0
"""WTN-9 to WTN-14: memories that are missing, set back, of another witness; logs that come and go; several keys."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from pausectl.errors import Forged, Malformed, Refused, Unavailable, UsageFault
from pausectl.sim import terms
from pausectl.wire import cosignature, note, witness
from pausectl.wire.keys import MLDSA44
from pausectl.wire.note import Note, VerifierKey
from pausectl.witness.decision import http_status
from pausectl.witness.witness import Witness, origin_hash

NAME = "witness.example/one"
SIGNER = terms.demo_key("witness")
QUANTUM = terms.demo_key("witness", MLDSA44)
NOW = 1_800_000_000


def opened(state: Path, **options) -> Witness:
    return Witness.open(state, [(NAME, SIGNER)], **options)


@pytest.fixture
def state(tmp_path, tree) -> Path:
    made = tmp_path / "state"
    Witness.init(made, [(NAME, SIGNER)])
    with opened(made) as one:
        one.add_log([tree.key])
    return made


def set_back(state: Path, backup: Path) -> None:
    """Put a database back as a restored backup would, with nothing of the newer one left beside it."""
    for path in state.glob("witness.db*"):
        path.unlink()
    for path in backup.glob("witness.db*"):
        shutil.copy2(path, state / path.name)


# ── making and opening ──


def test_a_missing_memory_is_an_error_and_is_not_made_by_opening(tmp_path, state):
    """WTN-10."""
    with pytest.raises(Unavailable, match="missing") as caught:
        opened(tmp_path / "nowhere")
    assert "init" in caught.value.hint
    assert not (tmp_path / "nowhere").exists()
    (state / "witness.db").unlink()
    with pytest.raises(Unavailable, match="missing"):
        opened(state)
    assert not (state / "witness.db").exists()


def test_what_is_no_memory_of_a_witness_is_refused(tmp_path, state):
    (state / "witness.db").write_bytes(b"something else, and long enough to be looked at" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        opened(state)
    (state / "witness.db").write_bytes(b"")  # to SQLite, an empty file is an empty database
    with pytest.raises(Unavailable, match="another database"):
        opened(state)


def test_init_again_changes_nothing(state, tree):
    with opened(state) as one:
        one.cosign(tree.request(0, 5), NOW)
    before = (state / "witness.db").read_bytes()
    Witness.init(state, [(NAME, SIGNER)])
    assert (state / "witness.db").read_bytes() == before
    with opened(state) as one:
        assert one.cosign(tree.request(0, 7), NOW) == b"5\n"


def test_another_key_or_name_is_another_witness(state):
    for cosigner in ((NAME, terms.demo_key("other")), ("witness.example/two", SIGNER)):
        with pytest.raises(Refused):
            Witness.open(state, [cosigner])
        with pytest.raises(Refused):
            Witness.init(state, [cosigner])
    opened(state).close()


def test_a_database_that_is_lost_is_made_again_from_the_second_memory(state, tree):
    """WTN-10: only by `init`, and what was cosigned stands."""
    with opened(state) as one:
        one.cosign(tree.request(0, 5), NOW)
        shown = one.checkpoint(tree.origin)
    for path in state.glob("witness.db*"):
        path.unlink()
    Witness.init(state, [(NAME, SIGNER)])
    with opened(state) as one:
        assert one.checkpoint(tree.origin) == shown
        assert one.logs == {}  # whose signature to ask for is not in it
        one.add_log([tree.key])
        assert one.cosign(tree.request(0, 7), NOW) == b"5\n"


def test_the_state_of_an_earlier_release_is_taken_over(tmp_path, tree):
    """It was the file that is the second memory now."""
    with Witness.beside(NAME, SIGNER, tree.key, tmp_path / "new") as one:
        one.cosign(tree.request(0, 5), NOW)
        shown = one.checkpoint(tree.origin)
    old = tmp_path / "old" / origin_hash(tree.origin)
    old.mkdir(parents=True)
    (old / "checkpoint").write_bytes(shown)
    with Witness.beside(NAME, SIGNER, tree.key, tmp_path / "old") as one:
        assert one.checkpoint(tree.origin) == shown
        assert one.cosign(tree.request(0, 7), NOW) == b"5\n"


# ── being set back ──


@pytest.mark.parametrize("place", ["beside", "elsewhere"])
def test_a_restored_database_is_detected_at_open_and_by_who_has_it_open(tmp_path, tree, fork, place):
    """WTN-11: an older database cosigns nothing, not even what extends it; `recover` goes on from the newest."""
    state, second = tmp_path / "state", tmp_path / "elsewhere" if place == "elsewhere" else None
    Witness.init(state, [(NAME, SIGNER)], second=second)
    one = opened(state)
    one.add_log([tree.key])
    one.cosign(tree.request(0, 3), NOW)
    one.close()
    shutil.copytree(state, tmp_path / "backup")
    with opened(state) as one:
        one.cosign(tree.request(3, 8), NOW + 1)
        shown = one.checkpoint(tree.origin)
    set_back(state, tmp_path / "backup")
    with pytest.raises(
        Unavailable, match=r"set back: of log.example/test it has size 3 .* size 8 .* left us"
    ) as caught:
        opened(state)
    assert "recover" in caught.value.hint
    running = Witness(one.keys, [(NAME, SIGNER)], one._memory, one._second)  # as if it had been open all the time
    for request in (tree.request(3, 9), fork.request(0, 9), tree.request(3, 3)):
        with pytest.raises(Unavailable, match="set back"):
            running.cosign(request, NOW + 2)
    running.close()
    assert Witness.recover(state) == [tree.origin]
    assert Witness.recover(state) == []
    with opened(state) as one:
        assert one.checkpoint(tree.origin) == shown
        assert one.cosign(tree.request(3, 9), NOW + 2) == b"8\n"


def test_a_database_from_before_a_log_was_cosigned_is_detected_too(tmp_path, state, tree):
    """WTN-11: also where the size is the same and only the time is later."""
    shutil.copytree(state, tmp_path / "backup")
    with opened(state) as one:
        one.cosign(tree.request(0, 3), NOW)
    shutil.copytree(state, tmp_path / "later")
    set_back(state, tmp_path / "backup")
    with pytest.raises(Unavailable, match="it has nothing, and size 3"):
        opened(state)
    set_back(state, tmp_path / "later")
    with opened(state) as one:
        one.cosign(tree.request(3, 3), NOW + 9)
    set_back(state, tmp_path / "later")
    with pytest.raises(Unavailable, match=f"size 3 at {NOW}, and size 3 at {NOW + 9}"):
        opened(state)


def test_both_memories_set_back_together_are_not_seen(tmp_path, state, tree):
    """The limit, so that nobody believes otherwise; a second place on another disk is what there is against it."""
    shutil.copytree(state, tmp_path / "backup")
    with opened(state) as one:
        one.cosign(tree.request(0, 8), NOW)
    shutil.rmtree(state)
    shutil.copytree(tmp_path / "backup", state)
    with opened(state) as one:
        assert one.cosign(tree.request(8, 9), NOW) == b"0\n"


def test_two_databases_with_one_second_memory_do_not_cosign_twice(tmp_path, tree, fork):
    """WTN-11: a copy of the state that is run by mistake beside the original."""
    place = tmp_path / "second"
    Witness.init(tmp_path / "one", [(NAME, SIGNER)], second=place)
    with opened(tmp_path / "one") as one:
        one.add_log([tree.key])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    first, second = opened(tmp_path / "one"), opened(tmp_path / "two")
    first.cosign(tree.request(0, 5), NOW)
    with pytest.raises(Unavailable, match="set back"):
        second.cosign(fork.request(0, 5), NOW)
    first.close()
    second.close()


def test_the_place_of_another_witness_is_not_taken(tmp_path):
    Witness.init(tmp_path / "one", [(NAME, SIGNER)], second=tmp_path / "second")
    with pytest.raises(Refused, match="another witness"):
        Witness.init(tmp_path / "two", [("witness.example/two", SIGNER)], second=tmp_path / "second")
    assert not (tmp_path / "two" / "witness.db").exists()
    with pytest.raises(Refused, match="another second memory"):
        Witness.init(tmp_path / "one", [(NAME, SIGNER)], second=tmp_path / "third")


def test_without_its_second_memory_nothing_is_opened(tmp_path, tree):
    """WTN-11: a disk that is not mounted is an empty directory."""
    place = tmp_path / "second"
    Witness.init(tmp_path / "state", [(NAME, SIGNER)], second=place)
    opened(tmp_path / "state").close()
    place.rename(tmp_path / "away")
    with pytest.raises(Unavailable, match="second memory is missing"):
        opened(tmp_path / "state")
    place.mkdir()
    with pytest.raises(Unavailable, match="second memory is missing"):
        opened(tmp_path / "state")
    (place / "witness.vkeys").write_text("witness.example/two+00000000+AA==\n")
    with pytest.raises(Unavailable, match="another's"):
        opened(tmp_path / "state")


def test_a_crash_between_the_two_memories_is_no_restoration(state, tree):
    """The second one is behind then, and the next cosignature writes it."""
    with opened(state) as one:
        one.cosign(tree.request(0, 3), NOW)
        path = state / origin_hash(tree.origin) / "checkpoint"
        before = path.read_bytes()
        one.cosign(tree.request(3, 5), NOW)
        path.unlink()
        path.write_bytes(before)
    with opened(state) as one:
        assert one.cosign(tree.request(3, 9), NOW) == b"5\n"
        one.cosign(tree.request(5, 9), NOW)
        assert path.read_bytes() == one.checkpoint(tree.origin)
        path.unlink()
    with opened(state) as one:
        one.cosign(tree.request(9, 11), NOW)


# ── logs ──


def test_a_log_is_witnessed_from_when_it_is_added_until_it_is_removed_and_never_forgotten(state, tree, tree_of):
    """WTN-1, WTN-14."""
    other = tree_of([b"a", b"b", b"c"], origin="log.example/other", signer=terms.demo_key("other"))
    with opened(state) as one, opened(state) as again:
        with pytest.raises(Refused):
            one.cosign(other.request(0, 2), NOW)
        again.add_log([other.key])
        again.add_log([other.key])
        assert one.logs == {other.origin: (other.key,), tree.origin: (tree.key,)}
        one.cosign(other.request(0, 2), NOW)
        again.remove_log(other.origin)
        with pytest.raises(Refused) as caught:
            one.cosign(other.request(2, 3), NOW)
        assert http_status(caught.value) == 404
        with pytest.raises(UsageFault):
            again.remove_log(other.origin)
        assert one.checkpoint(other.origin) is not None
        one.add_log([other.key])
        assert one.cosign(other.request(0, 3), NOW) == b"2\n"


def test_the_keys_of_a_log_change_only_by_removal(state, tree):
    key = VerifierKey(tree.origin, note.TYPE_ED25519, terms.demo_key("other").public)
    with opened(state) as one:
        with pytest.raises(Refused, match="other keys"):
            one.add_log([key])
        one.cosign(tree.request(0, 3), NOW)
        one.remove_log(tree.origin)
        one.add_log([key])
        with pytest.raises(Forged):
            one.cosign(tree.request(3, 5), NOW)
        one.cosign(tree.request(3, 5, signer=terms.demo_key("other")), NOW)


def test_a_key_that_is_no_logs_and_an_origin_that_no_checkpoint_has_are_refused(state, tree):
    with opened(state) as one:
        with pytest.raises(UsageFault, match="0x04"):
            one.add_log([VerifierKey("x", note.TYPE_COSIGNATURE, SIGNER.public)])
        with pytest.raises(Malformed):
            one.add_log([tree.key], "o" * 256)


def test_an_origin_that_is_not_the_name_of_the_key(state, tree, tree_of):
    """As with the Go checksum database."""
    odd = tree_of([b"a"], origin="sum.example/database")
    key = VerifierKey("sum.example", note.TYPE_ED25519, odd.signer.public)
    asked = witness.parse_request(odd.request(0, 1))
    text = asked.signed.text
    raw = Note(text, (note.Signature(key.name, key.key_id, odd.signer.sign(text.encode())),)).raw
    with opened(state) as one:
        one.add_log([key], odd.origin)
        one.cosign(witness.format_request(witness.Request(0, (), raw)), NOW)


def test_a_log_of_two_keys_has_to_sign_with_both(state, tree, tree_of):
    """WTN-9."""
    other = tree_of([b"a", b"b"], origin="log.example/two")
    quantum = terms.demo_key("log", MLDSA44)
    second = VerifierKey(other.origin, note.TYPE_MLDSA44, quantum.public)
    text = witness.parse_request(other.request(0, 2)).signed.text
    both = note.sign(text, [(other.origin, other.signer), (other.origin, quantum)])
    with opened(state) as one:
        one.add_log([other.key, second])
        for lines in (both.signatures[:1], both.signatures[1:]):
            with pytest.raises(Forged, match="each key of the log") as caught:
                one.cosign(witness.format_request(witness.Request(0, (), Note(text, lines).raw)), NOW)
            assert http_status(caught.value) == 403
        one.cosign(witness.format_request(witness.Request(0, (), both.raw)), NOW)
        assert len(note.parse(one.checkpoint(other.origin)).signatures) == 3


# ── several keys of ours ──


def test_one_answer_has_a_line_by_each_key_all_of_one_time(tmp_path, tree):
    """WTN-12: types 0x04 and 0x06."""
    cosigners = [(NAME, SIGNER), (NAME, QUANTUM)]
    Witness.init(tmp_path, cosigners)
    with Witness.open(tmp_path, cosigners) as one:
        one.add_log([tree.key])
        ticks = iter(range(NOW, NOW + 9))
        lines = witness.parse_response(one.cosign(tree.request(0, 3), lambda: next(ticks)))
        assert [key.type for key in one.keys] == [0x04, 0x06]
        assert [(line.name, line.key_id) for line in lines] == [(NAME, key.key_id) for key in one.keys]
        kept = note.parse(one.checkpoint(tree.origin))
        assert kept.signatures[1:] == lines
        assert cosignature.together(kept, [one.keys]) == {NAME: NOW}


def test_a_key_can_be_added_to_a_witness_and_none_taken_away(state, tree):
    both = [(NAME, SIGNER), (NAME, QUANTUM)]
    with opened(state) as one:
        one.cosign(tree.request(0, 3), NOW)
    Witness.init(state, both)
    with pytest.raises(Refused):
        opened(state)
    with Witness.open(state, both) as one:
        assert len(witness.parse_response(one.cosign(tree.request(3, 5), NOW))) == 2
    for fewer in (both[1:], both[:1]):
        with pytest.raises(Refused):
            Witness.init(state, fewer)


def test_keys_of_two_names_or_twice_of_one_type_are_no_witness(tmp_path):
    for cosigners in ([(NAME, SIGNER), ("witness.example/two", QUANTUM)], [(NAME, SIGNER), (NAME, SIGNER)]):
        with pytest.raises(UsageFault):
            Witness.init(tmp_path, cosigners)


def test_without_a_key_it_can_be_looked_at_and_signs_nothing(state, tree):
    with Witness.open(state) as one:
        assert [note.format_vkey(key) for key in one.keys] == (state / "witness.vkeys").read_text().split()
        assert list(one.logs) == [tree.origin]
        with pytest.raises(UsageFault):
            one.cosign(tree.request(0, 3), NOW)


def test_the_clock_is_asked_when_its_turn_has_come(state, tree):
    """WTN-7: who waited for another request must not be told that its clock is behind."""
    asked = threading.Event()

    def clock():
        asked.set()
        return NOW

    with opened(state) as one:
        with one._second.held(origin_hash(tree.origin)):
            waiting = threading.Thread(target=one.cosign, args=(tree.request(0, 3), clock))
            waiting.start()
            assert not asked.wait(0.2)
        waiting.join()
        assert asked.is_set()
        with pytest.raises(Unavailable, match="clock"):
            one.cosign(tree.request(3, 5), lambda: NOW - 1)
        with pytest.raises(UsageFault):
            one.cosign(tree.request(3, 5), lambda: 0)
