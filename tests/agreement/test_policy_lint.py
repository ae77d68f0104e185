# SPDX-License-Identifier: Apache-2.0
"""Agreements as policies, and what there is to say about a policy."""

from __future__ import annotations

from itertools import combinations

import pytest

from pausectl.agreement import document, policy
from pausectl.agreement.lint import lint, lint_file
from pausectl.errors import Forged, PausectlError, UsageFault
from pausectl.history.reader import sight
from pausectl.sim import terms
from pausectl.sim.terms import Roll, demo_key
from pausectl.sim.world import World
from pausectl.wire import note
from pausectl.wire import policy as policies
from pausectl.wire.keys import MLDSA44


@pytest.fixture(scope="module", params=[False, True], ids=["ed25519", "both"])
def world(request):
    return World(windows=0, roll=Roll(post_quantum=request.param)).run()


# ── an agreement as a policy ──


def test_pol_9_the_policy_of_an_agreement_takes_nothing_that_a_reader_refuses(world):
    made = policy.of(world.agreement)
    assert policies.parse(policies.format(made)) == made
    head = note.parse(world.memory.head)
    assert policies.take(made, head.raw).checkpoint == sight(head.raw, world.agreement).checkpoint
    own = [line for line in head.signatures if line.name == terms.ORIGIN]
    others = [line for line in head.signatures if line.name != terms.ORIGIN]
    taken = 0
    for count in range(len(others) + 1):
        for some in combinations(others, count):
            raw = note.Note(head.text, (*own, *some)).raw
            try:
                policies.take(made, raw)
            except Forged:
                continue
            assert sight(raw, world.agreement)
            taken += 1
    assert taken > 4


def test_the_log_s_strongest_key_is_the_one_that_counts(world):
    made = policy.of(world.agreement)
    expected = note.TYPE_MLDSA44 if world.roll.post_quantum else note.TYPE_ED25519
    assert [log.key.type for log in made.logs] == [expected]
    head = note.parse(world.memory.head)
    without = [line for line in head.signatures if line.key_id != made.logs[0].key.key_id]
    with pytest.raises(Forged):
        policies.take(made, note.Note(head.text, tuple(without)).raw)


def test_urls_stand_where_they_belong(world):
    urls = {terms.ORIGIN: "https://log.example/", "wharf": "https://w/", "xylem.example": "https://x/"}
    made = policy.of(world.agreement, urls)
    assert made.logs[0].url == "https://log.example/"
    found = {witness.key.name: witness.url for witness in made.witnesses}
    assert (found["wharf.example"], found["xylem.example"], found["yarrow.example"]) == ("https://w/", "https://x/", "")
    with pytest.raises(UsageFault, match="nobody"):
        policy.of(world.agreement, {"nobody": "https://n/"})


def test_without_the_keys_there_is_no_policy():
    pinned = World(windows=0, roll=Roll(post_quantum=True)).agreement
    with pytest.raises(PausectlError, match="wharf is not at hand"):
        policy.of(document.parse(pinned.raw))


def test_an_agreement_of_ours_has_nothing_against_it(world):
    made = policy.of(world.agreement)
    assert lint(made, policy.organisations(world.agreement), world.agreement.document.witnesses.faulty) == []
    assert {policy.organisations(world.agreement)[witness.name] for witness in made.witnesses} == {
        f"{name.capitalize()} (fictitious)" for name in world.roll.witnesses
    }


# ── what there is to say ──

KEYS = {n: note.VerifierKey(f"w{n}.example", note.TYPE_COSIGNATURE, demo_key(f"w{n}").public) for n in range(40)}
LOG = note.VerifierKey("log.example", note.TYPE_ED25519, demo_key("log").public)


def file(*lines: str, witnesses: int = 4, url: str = "") -> bytes:
    known = [f"witness w{n} {note.format_vkey(KEYS[n])} {url}" for n in range(witnesses)]
    return "".join(f"{line}\n" for line in (f"log {note.format_vkey(LOG)}", *known, *lines)).encode()


def codes(raw: bytes) -> set[tuple[str, str]]:
    return {(found.level, found.code) for found in lint_file(raw)}


ALL = ("group g 3 w0 w1 w2 w3", "quorum g")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (file(*ALL), set()),
        (file("quorum none"), {("error", "quorum-none"), ("warning", "unused")}),
        (file("quorum w0", witnesses=1), {("warning", "one-witness")}),
        (file("group g 2 w0 w1 w2 w3", "quorum g"), {("error", "disjoint-quorums")}),
        (
            file("group g any w0 w1", "quorum g", witnesses=2),
            {("error", "disjoint-quorums"), ("warning", "one-witness")},
        ),
        (file("group g all w0 w1 w2 w3", "quorum g"), {("warning", "all-needed")}),
        (file(*ALL, witnesses=5), {("warning", "unused")}),
        (file("group h any w4", *ALL, witnesses=5), {("warning", "unused")}),
        (file(*ALL, url="ftp://x/"), {("warning", "url")}),
        (file(f"group g 21 {' '.join(f'w{n}' for n in range(40))}", "quorum g", witnesses=40), {("warning", "many")}),
        (b"quorum none\n", {("error", "no-log"), ("error", "quorum-none")}),
        (file(*ALL)[:-1], {("error", "refused")}),
        (file(*ALL, "quorum g"), {("error", "refused")}),
    ],
)  # fmt: skip
def test_what_is_found(raw, expected):
    assert codes(raw) == expected


def test_every_line_that_is_refused_is_listed():
    found = lint_file(b"foo\nquorum a # x\nquorum b\r\n")
    assert [each.line for each in found] == [1, 2, 3, 0]
    assert all(each.code == "refused" for each in found)


def test_keys_of_one_name_count_separately_unless_all_are_needed():
    second = note.VerifierKey("w0.example", note.TYPE_MLDSA44, demo_key("w0", MLDSA44).public)
    line = f"witness w0b {note.format_vkey(second)}"
    assert codes(file(line, "group g 3 w0 w0b w1 w2", "quorum g", witnesses=3)) == {("warning", "one-name")}
    assert codes(file(line, "group p all w0 w0b", "group g 3 p w1 w2 w3", "quorum g")) == set()


def test_a_log_with_several_keys_or_with_that_of_a_witness():
    second = note.VerifierKey("log.example", note.TYPE_MLDSA44, demo_key("log", MLDSA44).public)
    assert codes(file(f"log {note.format_vkey(second)}", *ALL)) == {("warning", "either-key")}
    own = note.VerifierKey("self.example", note.TYPE_COSIGNATURE, LOG.public)
    line = f"witness self {note.format_vkey(own)}"
    found = codes(file(line, "group g 3 w0 w1 w2 self", "quorum g", witnesses=3))
    assert found == {("warning", "log-is-witness")}


def test_organisations_and_liars_are_counted_where_they_are_known():
    made = policies.parse(file(*ALL))
    behind = {"w0": "a", "w1": "a", "w2": "a", "w3": "b"}
    assert [found.code for found in lint(made, behind)] == ["one-organisation"]
    assert lint(made, {**behind, "w2": "b"}) == []
    assert [found.code for found in lint(made, None, 2)] == ["faulty-bound"]
    assert lint(made, None, 1) == []


def test_pairs_of_keys_are_one_witness_each():
    pinned = World(windows=0, roll=Roll(post_quantum=True)).agreement
    assert [found.code for found in lint(policy.of(pinned), None, 2)] == ["faulty-bound"]
