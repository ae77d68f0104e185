# SPDX-License-Identifier: Apache-2.0
"""lab: the way of the engineer who files, from the meter's table to a verdict that rests on it."""

from __future__ import annotations

import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from pausectl.agreement import document
from pausectl.agreement.types import instant, seconds
from pausectl.wire import dsse, opening, seal

WINDOW = "2026-08-03T00:00:00Z/2026-08-10T00:00:00Z"
START, END = (seconds(each) * 1000 for each in WINDOW.split("/"))
HOUR_MS = 3_600_000


@pytest.fixture
def readings(tmp_path) -> Path:
    """Three devices, a reading an hour, over the whole window."""
    place = tmp_path / "power.csv"
    with place.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["device", "time_ms", "watts"])
        for node in range(3):
            for hour in range((END - START) // HOUR_MS + 1):
                table.writerow([f"node-{node}", START + hour * HOUR_MS, 6000.5 + node + hour / 7])
    return place


@pytest.fixture
def sealed(run, home, readings, tmp_path) -> dict[str, Any]:
    """The commitment that `lab seal` prints for them."""
    done = run(
        "lab", "seal", readings, "--agreement", home / "agreement.json", "--facility", "aurora-1", "--window", WINDOW,
        "--vault", tmp_path / "vault", "--max-gap", 3_600,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.err == ""
    return done.json


@pytest.fixture
def attest(run, home, tmp_path):
    """`attest(kind, body, party)`: the path of the envelope."""

    def call(kind: str, body: dict[str, Any], party: str = "aurora", window: str | None = WINDOW) -> Path:
        draft, envelope = tmp_path / f"{party}-{kind}.json", tmp_path / f"{party}-{kind}.envelope"
        envelope.unlink(missing_ok=True)
        draft.write_text(json.dumps(body, indent=1))
        done = run(
            "lab", "attest", kind, draft, "--agreement", home / "agreement.json", "--key",
            home / "keys" / f"{party}.key",
            "--ledger", home / "log", *(["--window", window] if window else []), "-o", envelope,
        )  # fmt: skip
        assert done.code == 0, done.err
        assert dsse.parse(envelope.read_bytes()).statement_id in done.err
        return envelope

    return call


def test_one_more_window_from_the_meter_to_the_verdict(run, home, sealed, attest, bodies, operator, tmp_path):
    usage = {**bodies(home, "aurora", "usage"), "telemetry": sealed}
    del usage["heads"]  # they are filled in
    reading = {
        **bodies(home, "gridco", "energy", "aurora-1"),
        "interval_start_at": WINDOW.split("/", maxsplit=1)[0],
        "interval_end_at": WINDOW.split("/")[1],
    }
    envelopes = [
        attest("inventory", bodies(home, "aurora", "inventory")),
        attest("usage", usage),
        attest("energy", reading, "gridco"),
        *(attest("close", bodies(home, party, "close"), party) for party in ("avon", "brent", "cam", "probe")),
    ]
    closed = bodies(home, "gridco", "close")
    closed["heads"] = [
        {**head, "count": head["count"] + (head["stream"] == "energy/aurora-1")} for head in closed["heads"]
    ]
    envelopes.append(attest("close", closed, "gridco"))

    added = run("lab", "submit", *envelopes, "--log", home, *operator(home), "--now", "2026-08-10T06:00:00Z")
    assert added.code == 0, added.err
    index = {Path(line["file"]).name: line["index"] for line in map(json.loads, added.out.splitlines())}
    assert run("log", "cosign", "--log", home, *operator(home), "--now", "2026-08-14T00:00:00Z").code == 0

    result = run("verify", home / "log", "--agreement", home / "agreement.json", "--lab", "aurora", "--json").json
    assert result["as_of"] == "2026-08-14T00:00:00Z"
    last = result["windows"][-1]
    assert f"{last['start']}/{last['end']}" == WINDOW
    about = [f for f in result["findings"] if f["window"] == {"start": last["start"], "end": last["end"]}]
    shown = {entry for finding in about for entry in finding["entries"]}
    assert {index["aurora-inventory.envelope"], index["aurora-usage.envelope"]} <= shown
    assert last["verdict"] == "CONSISTENT", [f for f in about if f["outcome"] in ("VIOLATED", "UNPROVEN")]
    assert any((f["rule"], f["outcome"]) == ("COV-1", "HOLDS") for f in about)
    assert any("seals are committed to" in line for line in result["not_shown"])
    assert run("log", "fsck", home, "--agreement", home / "agreement.json").code == 0


def test_the_numbers_go_on_from_the_ledger(run, home, attest, bodies, operator):
    body = bodies(home, "aurora", "model")
    envelope = attest("model", body, window=None)
    first = envelope.read_bytes()
    assert b'"sequence":1,"stream":"models"' in dsse.parse(first).payload
    # The same claim retried is the same statement.
    assert attest("model", body, window=None).read_bytes() == first
    run("log", "add", envelope, "--log", home, *operator(home), "--now", "2026-08-08T00:00:00Z")
    assert b'"sequence":2,"stream":"models"' in dsse.parse(attest("model", body, window=None).read_bytes()).payload


def test_numbers_go_on_after_what_is_signed_and_not_filed_yet(run, home, bodies, operator, tmp_path):
    """Two statements under one number would be equivocation, which proves itself."""
    common = ("--agreement", home / "agreement.json", "--key", home / "keys" / "aurora.key", "--ledger", home / "log")
    made: list[object] = []
    for name in "abc":
        body = bodies(home, "aurora", "model") | {"weights_root": name * 64}
        (tmp_path / "body").write_text(json.dumps(body))
        after = [each for path in made for each in ("--after", path)]
        done = run("lab", "attest", "model", tmp_path / "body", *common, *after, "-o", tmp_path / name)
        assert done.code == 0, done.err
        made.append(tmp_path / name)
    numbers = [json.loads(dsse.parse(path.read_bytes()).payload)["predicate"]["header"]["sequence"] for path in made]
    assert numbers == [1, 2, 3]
    run("lab", "submit", *made, "--log", home, *operator(home), "--now", "2026-08-08T00:00:00Z")
    judged = run("verify", home / "log", "--agreement", home / "agreement.json", "--json", "--lab", "aurora").json
    about = [f for f in judged["findings"] if f["rule"] in ("EQV-1", "COV-2") and f["lab"] in ("aurora", None)]
    assert {finding["outcome"] for finding in about} == {"HOLDS"}


@pytest.mark.parametrize("kind", ["another's", "garbage", "missing", "agreement"])
def test_after_wants_an_envelope_of_one_s_own(run, home, attest, bodies, kind):
    place = home.parent / "after"
    if kind == "another's":
        attest("model", bodies(home, "borealis", "model"), "borealis", None).rename(place)
    elif kind == "garbage":
        place.write_bytes(b"\xff")
    elif kind == "agreement":
        place.write_bytes((home / "agreement.json").read_bytes())
    done = refused(run, home, "model", bodies(home, "aurora", "model"), "--after", place, window=None)
    assert done.code == 2
    assert done.error.startswith(str(place))


def test_a_bundle_or_a_url_will_do_for_the_numbers(run, home, attest, bodies, site, tmp_path):
    expected = attest("model", bodies(home, "aurora", "model"), window=None).read_bytes()
    run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / "b.zip")
    for number, source in enumerate((tmp_path / "b.zip", site.url)):
        done = run(
            "lab", "attest", "model", tmp_path / "aurora-model.json", "--agreement", home / "agreement.json", "--key",
            home / "keys" / "aurora.key", "--ledger", source, "-o", tmp_path / str(number),
        )  # fmt: skip
        assert done.code == 0, done.err
        assert (tmp_path / str(number)).read_bytes() == expected


# ── attest, and what it refuses ──


def refused(run, home: Path, kind: str, body: Any, *more: object, key: str = "aurora", window: str | None = WINDOW):
    """The result of an attest that makes no envelope."""
    draft, envelope = home.parent / "body.json", home.parent / "envelope"
    draft.write_text(body if isinstance(body, str) else json.dumps(body))
    done = run(
        "lab", "attest", kind, draft, "--agreement", home / "agreement.json", "--key", home / "keys" / f"{key}.key",
        "--ledger", home / "log", *(["--window", window] if window is not None else []), "-o", envelope, *more,
    )  # fmt: skip
    assert done.code in (2, 4)
    assert done.out == ""
    assert not envelope.exists()
    return done


@pytest.mark.parametrize(
    ("window", "complaint"),
    [
        ("2026-08-03T00:00:00Z/2026-08-09T00:00:00Z", "no window"),
        ("2026-08-04T00:00:00Z/2026-08-11T00:00:00Z", "no window"),
        ("2020-01-06T00:00:00Z/2020-01-13T00:00:00Z", "no window"),
        ("2026-08-10T00:00:00Z/2026-08-03T00:00:00Z", "no window"),
        ("2026-08-03T00:00:00Z", "START/END"),
        ("", "START/END"),
        ("now/then", "instant"),
        (None, "expected a window"),
    ],
)
def test_attest_wants_a_window_of_the_agreement(run, home, bodies, window, complaint):
    done = refused(run, home, "inventory", bodies(home, "aurora", "inventory"), window=window)
    assert done.code == 2
    assert complaint in done.error


def test_the_nearest_window_is_named(run, home, bodies):
    done = refused(
        run, home, "inventory", bodies(home, "aurora", "inventory"), window="2026-08-05T00:00:00Z/2026-08-10T00:00:00Z"
    )
    assert WINDOW in done.err


def test_a_window_for_a_claim_about_none_is_refused_and_not_forgotten(run, home, bodies):
    done = refused(run, home, "model", bodies(home, "aurora", "model"))
    assert done.code == 2
    assert "expected no window" in done.error


@pytest.mark.parametrize("facility", [None, "", "Not An Id", 3, ["aurora-1"], {"a": 1}, "x" * 70, "a\nb", "\ud800"])
def test_a_facility_that_is_none(run, home, bodies, facility):
    body = bodies(home, "aurora", "inventory")
    del body["facility"]
    if facility is not None:
        body["facility"] = facility
    done = refused(run, home, "inventory", body)
    assert done.code == 4
    assert done.error.startswith(str(home.parent / "body.json"))


@pytest.mark.parametrize(
    "body",
    [
        "", "{", "[]", "3", "null", '"x"', "{}", '{"a":NaN}', '{"a":1.5}', '{"a":1e3}', '{"a":9007199254740993}',
        '{"a":1,"a":1}', '{"header":{}}', "[" * 100_000, '{"a":' * 40 + "1" + "}" * 40, '{"\\ud800":1}',
        '{"a":' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_a_body_that_is_none(run, home, body):
    done = refused(run, home, "inventory", body)
    assert str(home.parent / "body.json") in done.error


def test_a_claim_of_an_unknown_kind_lists_the_kinds(run, home):
    done = refused(run, home, "nosuch", {})
    assert done.code == 2
    assert "inventory" in done.err


@pytest.mark.parametrize("member", ["agreement", "header"])
def test_no_body_speaks_for_the_header(run, home, bodies, member):
    done = refused(run, home, "inventory", {**bodies(home, "aurora", "inventory"), member: {}})
    assert done.code == 4
    assert member in done.error


def test_attest_wants_a_key_of_the_agreement(run, home, bodies):
    run("keygen", "aurora", "-o", home / "keys" / "stranger.key", "--unencrypted")
    done = refused(run, home, "inventory", bodies(home, "aurora", "inventory"), key="stranger")
    assert done.code == 2
    assert "stranger.key" in done.error


def test_attest_wants_a_place_for_the_envelope(run, home, bodies, tmp_path):
    (tmp_path / "body").write_text(json.dumps(bodies(home, "aurora", "inventory")))
    command = (
        "lab", "attest", "inventory", tmp_path / "body", "--agreement", home / "agreement.json", "--key",
        home / "keys" / "aurora.key", "--ledger", home / "log", "--window", WINDOW,
    )  # fmt: skip
    assert run(*command).code == 2
    shown = run(*command, "--dry-run")
    assert shown.code == 0
    assert shown.json["predicate"]["header"]["sequence"] == 4
    assert run(*command, "-o", tmp_path / "x", "--dry-run").out == shown.out
    assert not (tmp_path / "x").exists()
    assert run(*command, "-o", tmp_path / "x").code == 0
    assert dsse.parse((tmp_path / "x").read_bytes()).payload.decode() == shown.out.rstrip("\n")
    kept = (tmp_path / "x").read_bytes()
    assert run(*command, "-o", tmp_path / "x").code == 2
    assert (tmp_path / "x").read_bytes() == kept


def test_attest_from_a_damaged_ledger_makes_nothing(run, home, bodies):
    body = bodies(home, "aurora", "inventory")
    (home / "log" / "checkpoint").chmod(0o644)
    (home / "log" / "checkpoint").write_text("x")
    done = refused(run, home, "inventory", body)
    assert done.code == 4
    assert str(home / "log") in done.error


# ── seal and open ──


def test_the_vault_keeps_the_secret_and_prints_the_promise(sealed, tmp_path):
    vault = tmp_path / "vault"
    assert {path.name for path in vault.iterdir()} == {"master", "rows.csv", "commitment.json"}
    assert stat.S_IMODE(vault.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in vault.iterdir()} == {0o600}
    assert sealed["rows_count"] == 3 * (END - START) // HOUR_MS
    assert sealed["gap_ms"] == "0"
    assert json.loads((vault / "commitment.json").read_text())["telemetry"] == sealed


def test_an_opened_row_is_of_the_seal_that_was_printed(run, home, sealed, tmp_path):
    agreement = document.parse((home / "agreement.json").read_bytes())
    context = seal.Context(agreement.id, "aurora", "aurora-1", "telemetry/aurora-1", START, END)
    sums = seal.Sums(*(int(sealed[name]) for name in ("energy_mj", "duration_ms", "gap_ms")))
    commitment = seal.Commitment(context, sealed["rows_count"], sums, bytes.fromhex(sealed["seal_root"]))
    for row in (0, 255, 256, sealed["rows_count"] - 1):
        done = run("lab", "open", tmp_path / "vault", "--row", row)
        assert done.code == 0
        opened = opening.open_row(commitment, opening.parse_row_opening(done.json))
        assert START <= opened.start_ms < opened.end_ms <= END


@pytest.mark.parametrize("row", [-1, 504, 10**30])
def test_a_row_that_is_none(run, sealed, tmp_path, row):
    done = run("lab", "open", tmp_path / "vault", "--row", row)
    assert done.code == 2
    assert str(tmp_path / "vault") in done.error
    assert done.out == ""


def test_nothing_that_leaves_the_lab_has_its_secret(run, home, sealed, attest, bodies, operator, tmp_path):
    """Every byte that is printed or published, searched for the master secret and for every other salt."""
    master = bytes.fromhex((tmp_path / "vault" / "master").read_text())
    usage = {**bodies(home, "aurora", "usage"), "telemetry": sealed}
    del usage["heads"]
    envelope = attest("usage", usage)
    run("log", "add", envelope, "--log", home, *operator(home), "--now", "2026-08-10T06:00:00Z")
    run("bundle", home / "log", "--agreement", home / "agreement.json", "-o", tmp_path / "b.zip")
    opened = run("lab", "open", tmp_path / "vault", "--row", 5).out
    printed = [json.dumps(sealed).encode(), opened.encode(), dsse.parse(envelope.read_bytes()).payload]
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    for data in (*printed, *files, (tmp_path / "b.zip").read_bytes()):
        assert master not in data
        assert master.hex().encode() not in data.lower()
    agreement = document.parse((home / "agreement.json").read_bytes())
    context = seal.Context(agreement.id, "aurora", "aurora-1", "telemetry/aurora-1", START, END)
    assert seal.block_secret(master, context.digest, 0).hex() not in opened  # it would open 256 rows


def test_a_seal_is_never_made_over_another(run, home, readings, sealed, tmp_path, tree):
    before = tree(tmp_path)
    done = run(
        "lab", "seal", readings, "--agreement", home / "agreement.json", "--facility", "aurora-1", "--window", WINDOW,
        "--vault", tmp_path / "vault",
    )  # fmt: skip
    assert done.code == 2
    assert str(tmp_path / "vault") in done.error
    assert tree(tmp_path) == before


def test_the_same_readings_sealed_twice_do_not_look_alike(run, home, readings, sealed, tmp_path):
    again = run(
        "lab", "seal", readings, "--agreement", home / "agreement.json", "--facility", "aurora-1", "--window", WINDOW,
        "--vault", tmp_path / "second", "--max-gap", 3_600,
    ).json  # fmt: skip
    assert again["seal_root"] != sealed["seal_root"]
    assert again["energy_mj"] == sealed["energy_mj"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--facility", "nosuch"), ("--window", "2026-08-03T00:00:00Z/2026-08-09T00:00:00Z"), ("--max-gap", "-1"),
        ("--vault", "power.csv/below"), ("--max-gap", "x"),
    ],
)  # fmt: skip
def test_seal_refuses_what_it_cannot_use(run, home, readings, tmp_path, tree, option, value, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"--facility": "aurora-1", "--window": WINDOW, "--vault": tmp_path / "v", "--max-gap": 60}
    options[option] = value
    before = tree(tmp_path)
    pairs = [each for pair in options.items() for each in pair]
    done = run("lab", "seal", readings, "--agreement", home / "agreement.json", *pairs)
    assert done.code == 2
    assert done.error
    assert done.out == ""
    assert tree(tmp_path) == before
    assert not (tmp_path / "v").exists()


def test_seal_wants_a_window(run, home, readings, tmp_path):
    done = run(
        "lab",
        "seal",
        readings,
        "--agreement",
        home / "agreement.json",
        "--facility",
        "aurora-1",
        "--vault",
        tmp_path / "v",
    )
    assert done.code == 2
    assert "--window" in done.error


def test_windows_are_shown_as_they_are_typed(run, home):
    assert instant(START // 1000) == WINDOW.split("/", maxsplit=1)[0]
    assert WINDOW.count("/") == 1
    assert "START/END" in run("lab", "attest", "--help").out


# ── what a body says together ──


def order(run, home, tmp_path, *keys: str):
    draft, envelope = tmp_path / "order.json", tmp_path / "order.envelope"
    draft.write_text(json.dumps({"action": "lift", "reason": "the balance is clean", "term_windows": 1}))
    first, *others = (home / "keys" / f"{key}.key" for key in keys)
    extra = [word for key in others for word in ("--with", key)]
    done = run(
        "lab", "attest", "order", draft, "--agreement", home / "agreement.json", "--ledger", home / "log",
        "--key", first, *extra, "-o", envelope,
    )  # fmt: skip
    return done, envelope


def test_overseers_sign_an_order_together(run, home, operator, tmp_path):
    done, envelope = order(run, home, tmp_path, "avon", "cam")
    assert done.code == 0, done.err
    assert len(dsse.parse(envelope.read_bytes()).signatures) == 2
    now = "2026-08-07T06:00:00Z"
    assert run("lab", "submit", envelope, "--log", home, *operator(home), "--now", now).code == 0
    report = run("verify", home / "log", "--agreement", home / "agreement.json", "--json").json
    assert not [f for f in report["findings"] if f["rule"] == "LED-2" and f["outcome"] == "VIOLATED"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (("avon",), "signed by 1 of the 2 required"),
        (("aurora",), "signed by 0 of the 2 required"),
        (("avon", "cam", "aurora"), "signed by 2 of the 2 required"),
    ],
)
def test_too_few_or_others_cannot(run, home, tmp_path, keys, said):
    done, envelope = order(run, home, tmp_path, *keys)
    assert done.code == 2
    assert said in done.err
    assert not envelope.exists()


def test_one_party_signs_alone(run, home, tmp_path):
    draft = tmp_path / "body.json"
    draft.write_text(json.dumps({"heads": []}))
    done = run(
        "lab", "attest", "close", draft, "--agreement", home / "agreement.json", "--ledger", home / "log", "--window",
        WINDOW, "--key", home / "keys" / "avon.key", "--with", home / "keys" / "cam.key", "-o", tmp_path / "x",
    )  # fmt: skip
    assert done.code == 2
    assert "signed by its one party" in done.err
