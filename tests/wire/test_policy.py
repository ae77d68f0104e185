# SPDX-License-Identifier: Apache-2.0
"""Policies: what Go's parser makes of them, what only a lax one takes, and which checkpoints they take."""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pausectl.errors import Forged, Malformed
from pausectl.wire import checkpoint, cosignature, keys, note, policy
from pausectl.wire.checkpoint import Checkpoint
from pausectl.wire.keys import ED25519, MLDSA44, PrivateKey
from pausectl.wire.policy import Group, Log, Policy, Witness

Shared = Callable[[str], Path]

PAGES = Path(__file__).resolve().parents[2] / "specs"
EXAMPLE = re.findall(r"^```\n(.*?)^```$", (PAGES / "policy.md").read_text(), re.MULTILINE | re.DOTALL)[0].encode()
CHECKPOINT = re.findall(r"^```\n(.*?)^```$", (PAGES / "ledger.md").read_text(), re.MULTILINE | re.DOTALL)[0].encode()

SIGNERS = [PrivateKey.from_seed(ED25519, bytes([n] * 32)) for n in range(8)]
LOG = note.VerifierKey("log.example", note.TYPE_ED25519, SIGNERS[7].public)
WITNESSES = [note.VerifierKey(f"w{n}.example", note.TYPE_COSIGNATURE, SIGNERS[n].public) for n in range(5)]
SAME = note.VerifierKey("x.example", note.TYPE_COSIGNATURE, SIGNERS[0].public)
HEAD = Checkpoint("log.example", 5, bytes(32))
TEXT = checkpoint.format(HEAD)


def file(*lines: str, witnesses: int = 4) -> bytes:
    """A policy with the log and witnesses w0, w1, …, and these lines."""
    known = [f"witness w{n} {note.format_vkey(WITNESSES[n])}" for n in range(witnesses)]
    return "".join(f"{line}\n" for line in (f"log {note.format_vkey(LOG)}", *known, *lines)).encode()


def cosigned(*signers: int) -> bytes:
    lines = [cosignature.cosign(TEXT, WITNESSES[n].name, SIGNERS[n], 100 + n) for n in signers]
    return note.add(checkpoint.sign(HEAD, SIGNERS[7]), lines).raw


# ── examples ──


def test_the_example_of_the_module_and_the_page_takes_that_of_the_ledger() -> None:
    shown = textwrap.dedent((inspect.getdoc(policy) or "").split("\n\n")[1]).encode() + b"\n"
    assert shown == EXAMPLE
    taken = policy.take(policy.parse(EXAMPLE), CHECKPOINT)
    assert taken.signed == {"ed": 1795312863}
    assert taken.checkpoint.size == 2
    bare = note.Note(note.parse(CHECKPOINT).text, note.parse(CHECKPOINT).signatures[:1]).raw
    with pytest.raises(Forged, match="quorum operators not reached"):
        policy.take(policy.parse(EXAMPLE), bare)


def test_the_example_of_the_specification_once_it_has_keys(shared: Shared) -> None:
    text = json.loads(shared("vectors/c2sp-examples/examples.json").read_text())["tlog-policy"]["example"]
    with pytest.raises(Malformed):
        policy.parse(text.encode())
    vkeys = iter([LOG, *(note.VerifierKey(f"{n}.example", 4, SIGNERS[n].public) for n in range(6))])
    found = policy.parse(re.sub("<vkey>", lambda _: note.format_vkey(next(vkeys)), text).encode())
    assert (policy.least(found, "X-and-Y"), policy.overlap(found, "X-and-Y")) == (3, 1)


def test_a_checkpoint_of_go_witnesses(shared: Shared) -> None:
    folder = shared("vectors/golden-go")
    log, ed, ml = (
        (folder / f"{name}.vkey").read_text().strip() for name in ("log", "witness-ed25519", "witness-mldsa44")
    )
    raw = f"log {log}\nwitness ed {ed}\nwitness ml {ml}\ngroup both all ed ml\nquorum both\n".encode()
    found = policy.parse(raw)
    assert policy.format(found) == raw
    assert set(policy.take(found, (folder / "size600.checkpoint.cosigned").read_bytes()).signed) == {"ed", "ml"}


GO_IS_LAX = {
    "k zero", "two quorum", "dup key", "member twice", "member in two groups", "trailing comment", "CRLF",
    "ed25519 0x01 witness key", "no final newline",
}  # fmt: skip
GO_IS_NARROWER = {"no url"}


def test_every_verdict_of_go_except_those_named(shared: Shared) -> None:
    cases = json.loads(shared("vectors/golden-go/oracle_cases.json").read_text())
    cases = [case for case in cases if case["kind"] == "policy"]
    assert len(cases) == 24
    lax, narrower = set(), set()
    for case in cases:
        try:
            found = policy.parse(keys.unbase64(case["input_b64"]))
        except Malformed:
            lax |= {case["name"]} if case["ok"] else set()
            continue
        if not case["ok"]:
            narrower.add(case["name"])
            continue
        least = policy.least(found, found.quorum) if found.quorum else 0
        assert (least, policy.parse(policy.format(found))) == (case["out"]["n_required"], found), case["name"]
    assert (lax, narrower) == (GO_IS_LAX, GO_IS_NARROWER)


# ── the file ──


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("quorum w0\nquorum w0", "expected one line quorum"), ("quorum none\nquorum w0", "expected one line quorum"),
        ("quorum w9", "quorum: expected"), ("quorum g\ngroup g any w0", "quorum: expected"),
        ("", "expected a line quorum"),
        ("quorum w0 # why", "each with what belongs to it"), ("foo\nquorum w0", "each with what belongs to it"),
        ("quorum\u00a0w0", "each with what belongs to it"), ("quorum w0\r", "no octet 0x0d"), ("quorum w0\0", "0x00"),
        ("quorum w0\x7f", "0x7f"), ("group g 0 w0\nquorum g", "1 to 1"), ("group g 2 w0\nquorum g", "1 to 1"),
        ("group g 01 w0\nquorum g", "1 to 1"), ("group g +1 w0\nquorum g", "1 to 1"),
        ("group g any\nquorum w0", "each"),
        ("group g 2 w0 w0 w1\nquorum g", "once in the file"), ("group g any w0\ngroup h any w0 w1\nquorum h", "once"),
        ("group g any g\nquorum g", "lines above"), ("group g any h\ngroup h any w0\nquorum g", "lines above"),
        ("group w0 any w1\nquorum w0", "a name of its own"), ("group none any w1\nquorum none", "a name of its own"),
        ("group g any none\nquorum g", "lines above"), ("group g any w0\ngroup g any w1\nquorum g", "its own"),
        (f"witness again {note.format_vkey(WITNESSES[0])}\nquorum w0", "a key of its own"),
        (f"witness again {note.format_vkey(SAME)}\nquorum w0", "its own"),
        (f"log {note.format_vkey(note.VerifierKey('x.example', 1, SIGNERS[7].public))}\nquorum w0", "a key of its own"),
        (f"witness x {note.format_vkey(LOG)}\nquorum w0", "0x04 or 0x06"), ("log x+y+z\nquorum w0", "expected"),
        (f"log {note.format_vkey(WITNESSES[4])}\nquorum w0", "0x01 or 0x06"), ("witness x\nquorum w0", "each with"),
        (f"log {note.format_vkey(WITNESSES[4])} u v\nquorum w0", "each with"),
    ],
)  # fmt: skip
def test_pol_1_to_pol_6_what_is_refused(line: str, what: str) -> None:
    with pytest.raises(Malformed, match=re.escape(what)):
        policy.parse(file(line))


def test_pol_1_limits() -> None:
    with pytest.raises(Malformed, match="a line feed at the end"):
        policy.parse(file("quorum w0")[:-1])
    with pytest.raises(Malformed, match="1048576"):
        policy.parse(b"#" + b" " * policy.MAX_BYTES)
    groups = [f"group g{n} any {f'g{n - 1}' if n else 'w0'}" for n in range(257)]
    with pytest.raises(Malformed, match="256 logs"):
        policy.parse(file(*groups, "quorum g256"))
    deep = policy.parse(file(*groups[:256], "quorum g255"))
    assert policy.least(deep, "g255") == 1
    assert policy.take(deep, cosigned(0)).signed == {"w0": 100}


def test_everything_that_is_wrong_is_said_with_its_line() -> None:
    found, wrong = policy.read(b"foo\n\nquorum x\nquorum none\r\n")
    assert found is None
    assert [line for line, _ in wrong] == [1, 3, 4]
    with pytest.raises(Malformed, match="line 1"):
        policy.parse(b"foo\n")


def test_spaces_tabs_comments_and_octets_are_as_the_specification_has_them() -> None:
    written = b"# c\n\t" + file("", "  # indented", "group\t\t@@ all  w0 w1 ", "quorum @@")
    found = policy.parse(written.replace(b"@@", b"\xff\xfe"))
    assert found.quorum == "\udcff\udcfe"
    again = policy.format(found)
    assert b"group \xff\xfe all w0 w1\nquorum \xff\xfe\n" in again
    assert policy.parse(again) == found
    assert policy.format(policy.parse(again)) == again


def test_what_has_no_line_is_not_written() -> None:
    log, witness = Log(LOG), Witness("w", WITNESSES[0])
    for wrong in (
        Policy((log,), (Witness("a b", WITNESSES[0]),), (), None), Policy((log,), (witness, witness), (), "w"),
        Policy((log,), (witness,), (Group("g", 2, ("w",)),), "g"), Policy((Log(LOG, "u v w"),), (), (), None),
        Policy((log,), (witness,), (), "none"),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            policy.format(wrong)


@given(st.binary(max_size=120).map(lambda raw: raw + b"\n") | st.text("wgq 0123#\t\n", max_size=60).map(str.encode))
def test_any_bytes_are_malformed_or_can_be_written_again(raw: bytes) -> None:
    try:
        found = policy.parse(raw)
    except Malformed:
        return
    assert policy.parse(policy.format(found)) == found


# ── the decision ──

NESTED = file("group a 2 w0 w1 w2", "group b any w3 w4", "group all-of-them all a b", "quorum all-of-them", witnesses=5)


def test_pol_8_a_quorum_holds_if_its_members_do() -> None:
    found = policy.parse(NESTED)
    for count in range(6):
        for signers in combinations(range(5), count):
            enough = len({0, 1, 2} & set(signers)) >= 2 and {3, 4} & set(signers)
            if enough:
                assert policy.take(found, cosigned(*signers)).signed == {f"w{n}": 100 + n for n in signers}
            else:
                with pytest.raises(Forged, match="not reached"):
                    policy.take(found, cosigned(*signers))


def test_least_and_overlap_are_what_trying_all_says() -> None:
    texts = (
        ("quorum w0",), ("group g 3 w0 w1 w2 w3 w4", "quorum g"), ("group g any w0 w1", "quorum g"),
        ("group a 2 w0 w1 w2", "group b all w3 w4", "group g any a b", "quorum g"),
        ("group a 2 w0 w1 w2", "group b any w3 w4", "group g all a b", "quorum g"),
        ("group a all w0 w1", "group g 2 a w2 w3", "quorum g"),
    )  # fmt: skip
    for lines in texts:
        found = policy.parse(file(*lines, witnesses=5))
        names = [witness.name for witness in found.witnesses]
        enough = [set(each) for n in range(6) for each in combinations(names, n) if policy.holds(found, each)]
        assert policy.least(found, found.quorum) == min(map(len, enough))
        assert policy.overlap(found, found.quorum) == min(len(a & b) for a in enough for b in enough), lines


def test_pol_7_the_log_has_to_be_one_of_the_policy_and_of_that_origin() -> None:
    found = policy.parse(file("quorum none"))
    assert policy.take(found, cosigned()).signed == {}
    with pytest.raises(Forged, match="known key"):
        policy.take(found, checkpoint.sign(HEAD, SIGNERS[6]).raw)
    with pytest.raises(Forged, match="origin of a log"):
        policy.take(found, checkpoint.sign(Checkpoint("other.example", 5, bytes(32)), SIGNERS[7]).raw)
    crossed = note.sign(checkpoint.format(Checkpoint("x.example", 5, bytes(32))), [("log.example", SIGNERS[7])]).raw
    with pytest.raises(Forged):
        policy.take(found, crossed)


def test_any_log_of_several_will_do_and_both_if_both_are_there() -> None:
    new = PrivateKey.from_seed(MLDSA44, bytes(32))
    second = note.VerifierKey("log.example", note.TYPE_MLDSA44, new.public)
    found = policy.parse(file(f"log {note.format_vkey(second)}", "quorum none"))
    for signers in ((SIGNERS[7],), (new,), (SIGNERS[7], new)):
        assert policy.take(found, checkpoint.sign(HEAD, *signers).raw).checkpoint == HEAD
    failing = note.Signature("log.example", second.key_id, bytes(2_428))
    with pytest.raises(Forged, match="does not verify"):
        policy.take(found, note.add(note.parse(cosigned()), [failing]).raw)


def test_a_failing_line_of_a_known_witness_ends_it_and_a_stranger_s_does_not() -> None:
    found = policy.parse(file("quorum w0"))
    stranger = note.Signature("stranger.example", bytes(4), bytes(72))
    assert policy.take(found, note.add(note.parse(cosigned(0, 4)), [stranger]).raw).signed == {"w0": 100}
    failing = note.Signature(WITNESSES[1].name, WITNESSES[1].key_id, bytes(7) + bytes([1]) + bytes(64))
    with pytest.raises(Forged):
        policy.take(found, note.add(note.parse(cosigned(0)), [failing]).raw)
