# SPDX-License-Identifier: Apache-2.0
"""Git: seven known histories, this repository, and repositories that mean ill."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pausectl.agreement.types import instant, seconds
from pausectl.errors import Malformed, UsageFault
from pausectl.lab.collectors import base, git_log, git_markers, git_notes
from pausectl.lab.collectors.base import Window
from pausectl.lab.collectors.git import collect
from pausectl.lab.collectors.git_count import written

ALWAYS = Window(0, 1 << 33)
NOW = 1_790_000_000
CLAUDE = "Co-authored-by: Claude Opus 4.6 <noreply@anthropic.com>"
ROOT = Path(__file__).resolve().parents[3]


def metric(found, name):
    return next(result for result in found.results if result["metric"] == name)


def number(found, name):
    return metric(found, name)["numerator"]


def git(where, *args, **more):
    env = {"PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_NOSYSTEM": "1", **more.pop("env", {})}
    run = subprocess.run(["git", "-C", where, *args], env=env, check=True, capture_output=True, **more)
    return run.stdout.decode("utf-8", "surrogateescape").strip()


class Repo:
    def __init__(self, path, *how):
        self.path, self.time = path, itertools.count(NOW, 60)
        path.mkdir()
        git(path, "init", "-q", "-b", "main", *how)

    def __str__(self):
        return str(self.path)

    def commit(self, message="work", author="Ada <ada@lab.example>", committer=None, **files):
        """files: name to lines; `__` in a name is a slash. The hash."""
        for name, lines in (files or {f"f{next(self.time)}.py": 10}).items():
            path = self.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{n}\n" for n in range(lines)))
        git(self.path, "add", "-A")
        stamp = f"{next(self.time)} +0000"
        env = {"GIT_AUTHOR_DATE": stamp, "GIT_COMMITTER_DATE": stamp}
        for role, who in (("AUTHOR", author), ("COMMITTER", committer or author)):
            name, _, mail = who.partition(" <")
            env |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": mail.rstrip(">")}
        git(
            self.path,
            "commit",
            "-q",
            "--allow-empty",
            "--cleanup=verbatim",
            "-F",
            "-",
            input=os.fsencode(message),
            env=env,
        )
        return git(self.path, "rev-parse", "HEAD")

    def note(self, commit, *lines, schema=git_notes.SCHEMA):
        text = "\n".join((*lines, "---", json.dumps({"schema_version": schema, "prompts": {}})))
        who = ("-c", "user.name=n", "-c", "user.email=n@n.example")
        git(self.path, *who, "notes", "--ref=ai", "add", "-f", "-F", "-", commit, input=text.encode())


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


# ── seven histories of which only facts are known, written out as git would ──

WHO = {
    "ai": ("Claude", "noreply@anthropic.com"),
    "bot": ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
    "human": ("Ada", "ada@lab.example"),
    "github": ("GitHub", "noreply@github.com"),
}
MAIL = {"Amp": "amp@ampcode.com", "Codex": "codex@openai.com", "Copilot": "175728472+Copilot@users.noreply.github.com"}


def log_of(row):
    """What `git log` in our form would say of such a commit."""
    author, committer = WHO[row["author_kind"]], WHO[row["committer_kind"]]
    aider = row["aider_marker"]
    author = ("Ada (aider)", "ada@lab.example") if aider == "author(aider)" else author
    committer = ("Ada (aider)", "ada@lab.example") if aider == "committer(aider)" else committer
    message = "aider: it\n" if aider == "subject" else "it\n"
    if row["generated_with"]:
        message += "\n🤖 Generated with [Claude Code](https://claude.com/claude-code)\n"
    if row["coauthor_ai"] != "0":
        message += f"\nCo-Authored-By: {row['model']} <{MAIL.get(row['model'], 'noreply@anthropic.com')}>\n"
    head = ("commit " + row["sha"], " ".join(["0" * 40] * int(row["parents"])), row["committer_time"], *author,
            author[1], *committer, message, "", "")  # fmt: skip
    stats = f"\n{row['insertions']}\t{row['deletions']}\ta.py\0" if row["files"] != "0" else ""
    return "\0".join(head).encode() + stats.encode()


@pytest.fixture
def answers(shared):
    return json.loads(shared("data/known_answers.json").read_text())["facts"]["ai_authorship"]


@pytest.fixture
def histories(shared, tmp_path):
    files = {}
    with shared("data/ai_authorship/commits.csv").open(newline="") as file:
        for repo, rows in itertools.groupby(csv.DictReader(file), lambda row: row["repo"]):
            path = tmp_path / f"{repo.replace('/', '_')}.log"
            with path.open("ab") as out:
                out.writelines(map(log_of, rows))
            files[repo] = str(path)
    return files


def test_marked_commits_and_lines_of_seven_repositories(histories, answers):
    known = answers["repos"]["value"]
    assert set(known) == set(histories)
    for repo, path in histories.items():
        found, want, marks = collect([path], ALWAYS, {}), known[repo], answers["markers"]["value"][repo]
        commits, lines = metric(found, "ai_commits"), metric(found, "ai_lines")
        assert found.records == want["commits"]
        assert (commits["numerator"], commits["denominator"]) == (want["ai_marked"], want["non_merge"])
        assert (lines["numerator"], lines["denominator"]) == (want["ai_marked_inserted_lines"], want["inserted_lines"])
        assert commits["lower"] <= f"{want['ai_marked_share'] + 5e-5:.6f}" < commits["upper"] == "1.000000"
        assert number(found, "marker_coauthor_commits") == marks["coauthor_trailer"]
        assert number(found, "marker_generated_with_commits") == marks["generated_with"]
        assert number(found, "marker_author_commits") == marks["author"]
        assert number(found, "marker_subject_commits") == marks["aider_subject_only"]
        assert number(found, "marker_committer_commits") >= marks["aider_committer_only"]
        assert number(found, "bot_commits") <= want["bot_commits"]  # theirs has merges, and those that an agent marked


def test_a_calendar_year_of_one_of_them(shared, tmp_path, answers):
    """By author time, which is how that answer was counted; ours is by committer date."""
    want, path = answers["inspect_ai_2026"]["value"], tmp_path / "authored.log"
    with shared("data/ai_authorship/commits.csv").open(newline="") as file, path.open("wb") as out:
        rows = (row for row in csv.DictReader(file) if row["repo"] == "UKGovernmentBEIS/inspect_ai")
        out.writelines(log_of(row | {"committer_time": row["author_time"]}) for row in rows)
    found = collect([str(path)], Window(seconds("2026-01-01T00:00:00Z"), seconds("2027-01-01T00:00:00Z")), {})
    commits, lines = metric(found, "ai_commits"), metric(found, "ai_lines")
    assert (found.records, commits["numerator"]) == (want["commits"], want["ai_marked"])
    assert commits["denominator"] == want["non_merge"]
    assert (lines["numerator"], lines["denominator"]) == (want["ai_marked_inserted_lines"], want["inserted_lines"])


def test_a_weak_marker_is_told_and_not_counted(histories):
    found = collect([histories["Aider-AI/aider"]], ALWAYS, {})
    assert number(found, "marker_committer_commits") + number(found, "marker_subject_commits") > 2_000
    assert any("weak marker" in gap for gap in found.method.gaps)


def test_all_of_them_together_and_one_twice(histories, answers):
    known = answers["repos"]["value"].values()
    found = collect([*histories.values(), histories["simonw/tools"]], ALWAYS, {})
    assert found.records == answers["commits_rows"]["value"]
    assert number(found, "ai_commits") == sum(repo["ai_marked"] for repo in known)


def test_three_hundred_real_notes(shared, answers):
    lines = Counter()
    for path in shared("data/ai_authorship/gitai_notes_sample").glob("*.note"):
        lines.update(git_notes.parse(path.read_bytes()))
    kinds = answers["sample_lines_by_key_kind"]["value"]
    assert lines == {
        "session": kinds["session::trace"], "ai_agent": kinds["ai_agent"],
        "prompt": kinds["hex16"] + kinds["hex7"], "human": kinds["h_"] + kinds["human"],
    }  # fmt: skip
    assert lines["human"] == answers["sample_human_lines"]["value"]
    assert lines.total() - lines["human"] == answers["sample_ai_lines"]["value"]


# ── this repository ──


def test_this_repository_against_git_itself():
    try:
        if git(ROOT, "-c", "safe.directory=*", "rev-parse", "--is-shallow-repository") != "false":
            pytest.skip("this clone is shallow: its history is not all here")
    except subprocess.CalledProcessError:
        pytest.skip("this is no git clone")
    found = collect([str(ROOT)], ALWAYS, {"generated": "include"})
    said = git(ROOT, "-c", "safe.directory=*", "log", "--no-merges", "--numstat", "--no-renames", "--format=")
    inserted = [line.partition("\t")[0] for line in said.splitlines()]
    assert found.records == int(git(ROOT, "-c", "safe.directory=*", "rev-list", "--count", "HEAD"))
    assert metric(found, "ai_lines")["denominator"] == sum(map(int, filter(str.isdigit, inserted)))
    assert git(ROOT, "-c", "safe.directory=*", "rev-parse", "HEAD") in found.method.query


# ── identities, never substrings ──


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("Claude", "noreply@anthropic.com"),
        ("anything", "NoReply@Anthropic.com"),
        ("claude[bot]", "209825114+claude[bot]@users.noreply.github.com"),
        ("Copilot", "198982749+Copilot@users.noreply.github.com"),
        ("Claude Opus 4.7 (1M context)", "someone@lab.example"),
        ("Paul (aider)", "paul@lab.example"),
        ("aider (gpt-5.2)", "x@lab.example"),
        ("OpenAI Codex", ""),
        ("Oz", "oz-agent@warp.dev"),
    ],
)
def test_agents(name, address):
    assert git_markers.agent(name, address)
    assert git_markers.markers((name, address), WHO["human"], b"it\n") == {"author"}
    trailer = f"it\n\nCO-AUTHORED-BY: {name} <{address}>\r\n".encode()
    assert git_markers.markers(WHO["human"], WHO["human"], trailer) == {"coauthor"}


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("Claude", "claude@family.example"),
        ("Claude Monet 5", "c@m.example"),
        ("Someone", "someone@anthropic.com"),
        ("Dev", "dev@adevinta.com"),
        ("pcamp", "pcamp@x.example"),
        ("x", "noreply@anthropic.com.evil.example"),
        ("x", "1+notcopilot@users.noreply.github.com"),
        ("beads/crew/emma", "emma@x.example"),
        ("(aider) fan", "f@x.example"),
        ("Devin", "devin@x.example"),
        ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
    ],
)
def test_people_and_bots(name, address):
    assert not git_markers.agent(name, address)
    trailer = f"it\n\nCo-authored-by: {name} <{address}>\n".encode()
    assert git_markers.markers((name, address), (name, address), trailer) == set()


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("🤖 Generated with [Claude Code](https://claude.ai/code)", {"generated_with"}),
        ("Generated with Claude Code", {"generated_with"}),
        ("> Generated with Claude Code", set()),
        ("docs: say 'Generated with Claude Code' less", set()),
        ("Generated with Claude Codex Studio", set()),
        ("Generated with love", set()),
        (f"> {CLAUDE}", set()),
        (f"  {CLAUDE}", set()),
        (f"first of a squash\n\n{CLAUDE}\n\nsecond\n\nSigned-off-by: A <a@b>", {"coauthor"}),
        ("aider: fix", {"subject"}),
        ("fix aider: fix", set()),
    ],
)
def test_messages(text, marks):
    message = text if text.startswith("aider") else f"it\n\n{text}\n"
    assert git_markers.markers(WHO["human"], WHO["human"], message.encode()) == marks


def test_one_engineer_of_many_addresses(repo):
    (repo.path / ".mailmap").write_text("Ada <ada@lab.example> <ada@home.example>\n")
    repo.commit()
    repo.commit(author="ada <ada@home.example>")
    repo.commit(author="Ada (aider) <ADA@lab.example>")
    repo.commit(author="Bo <7+bo@users.noreply.github.com>")
    repo.commit(author="Bo B <bo@users.noreply.github.com>")
    repo.commit(author="Claude <noreply@anthropic.com>")
    repo.commit(author="renovate[bot] <29139614+renovate[bot]@users.noreply.github.com>")
    found = collect([str(repo)], ALWAYS, {})
    assert number(found, "active_engineers") == 2
    assert (number(found, "ai_commits"), number(found, "bot_commits")) == (2, 1)


# ── what is counted ──


def test_merges_generated_and_vendored_files_are_left_out_by_stated_rules(repo):
    repo.commit(a=5, vendor__lib=70, web__app_min=3, **{"uv.lock": 900, "web__x.min.js": 40, "docs__vendor.md": 2})
    git(repo.path, "checkout", "-q", "-b", "side")
    repo.commit(b=1)
    git(repo.path, "checkout", "-q", "main")
    repo.commit(c=1)
    git(repo.path, "-c", "user.name=x", "-c", "user.email=x@y", "merge", "-q", "--no-ff", "-m", "m", "side")
    found = collect([str(repo)], ALWAYS, {})
    assert (found.records, metric(found, "ai_commits")["denominator"]) == (4, 3)
    assert metric(found, "ai_lines")["denominator"] == 5 + 3 + 2 + 1 + 1
    assert any("1010 lines left out" in rule for rule in found.method.filters)
    assert any("1 left out" in rule for rule in found.method.filters)
    everything = collect([str(repo)], ALWAYS, {"generated": "include"})
    assert metric(everything, "ai_lines")["denominator"] == 12 + 1010


@pytest.mark.parametrize("path", [b"vendoring/a", b"a/lock", b"x.min.json", b"my-uv.lock", b"a_pb2.c", b"third\n/a"])
def test_names_that_only_look_generated(path):
    assert written(path)


def test_the_window_is_by_committer_date_and_half_open(repo):
    for _ in range(3):
        repo.commit(f=next(repo.time) % 100 + 1)
    times = [int(t) for t in git(repo.path, "log", "--reverse", "--format=%ct").split()]
    assert collect([str(repo)], Window(times[0], times[2]), {}).records == 2
    assert collect([str(repo)], Window(times[2] + 1, times[2] + 2), {}).records == 0
    assert collect([str(repo)], Window(-(1 << 40), 253_402_300_799), {}).records == 3
    assert collect([str(repo)], Window(-9, -5), {}).records == 0
    exported = export(repo)
    assert collect([exported], Window(times[0], times[2]), {}).records == 2


def test_throughput_against_a_baseline(repo):
    repo.commit(a=10)
    middle = next(repo.time)
    repo.commit(f"it\n\n{CLAUDE}\n", b=30)
    repo.commit(author="Bo <bo@lab.example>", c=50)
    end = next(repo.time)
    span = instant(NOW) + "/" + instant(middle)
    found = collect([str(repo)], Window(middle, end), {"baseline": span})  # three times as long
    assert (number(found, "active_engineers"), metric(found, "ai_lines")["numerator"]) == (2, 30)
    assert metric(found, "lines_against_baseline")["lower"] == "1.333333"  # 80 lines of 2 in 180 s, 10 of 1 in 60 s
    assert metric(found, "commits_against_baseline")["upper"] == "0.333334"
    none = collect([str(repo)], Window(middle, end), {"baseline": instant(1) + "/" + instant(2)})
    assert "lower" not in metric(none, "lines_against_baseline")
    assert "no commit in the baseline" in none.method.gaps


def test_bounds_are_decimals_that_never_cross(repo):
    repo.commit(a=1)
    repo.commit(CLAUDE.replace("Co", "\nCo", 1), b=1)
    hand = repo.commit(c=1)
    repo.note(hand, "c", "  human 1")
    found = collect([str(repo)], ALWAYS, {})
    commits, lines = metric(found, "ai_commits"), metric(found, "ai_lines")
    assert (commits["lower"], commits["upper"]) == (lines["lower"], lines["upper"]) == ("0.333333", "0.666667")
    assert not [value for result in found.results for value in result.values() if isinstance(value, float)]
    json.dumps(found.json())


# ── notes ──


def test_notes_are_capped_and_those_off_the_history_do_not_count(repo):
    repo.commit(base=1)
    lost = repo.commit(lost=10)
    repo.note(lost, "lost", "  ai_agent 1-10")
    git(repo.path, "reset", "-q", "--hard", "HEAD~1")
    restated = repo.commit(a=10)
    repo.note(restated, "a", "  s_48e9fed71298c0::t_9514e3978c87e3 1-5000", "  human 1-2")
    mixed = repo.commit(b=10, **{"uv.lock": 50})
    repo.note(mixed, "b", "  7ecb1cfe1c2cb067 1-3", "uv.lock", "  7ecb1cfe1c2cb067 1-50")
    found = collect([str(repo)], ALWAYS, {})
    lines = metric(found, "ai_lines")
    assert (lines["numerator"], lines["denominator"]) == (8 + 3, 21)
    assert lines["upper"] == "0.904762"  # 19 of 21
    assert number(found, "marker_note_commits") == number(found, "ai_commits") == 2


@pytest.mark.parametrize(
    "text",
    [
        b"", b"just a note", b"a\n  ai_agent 1\n", b"a\n  ai_agent 1\n---\n{}", b"a\n  ai_agent 1\n---\n[]",
        b'a\n  ai_agent 1\n---\n{"schema_version": "authorship/4.0.0"}',
        b'  ai_agent 1\n---\n{"schema_version": "authorship/3.0.0"}',
        b'a\n  ai_agent 9-1\n---\n{"schema_version": "authorship/3.0.0"}',
        b'a\n  ai_agent 0\n---\n{"schema_version": "authorship/3.0.0"}',
        b'a\n  ai_agent 1-99999999999\n---\n{"schema_version": "authorship/3.0.0"}',
        b'a\n  somebody 1\n---\n{"schema_version": "authorship/3.0.0"}',
        b"a\n  ai_agent 1\n---\n" + b"[" * 100_000,
    ],
)  # fmt: skip
def test_notes_that_are_none(repo, text):
    with pytest.raises(Malformed):
        git_notes.parse(text)
    commit = repo.commit()
    if text:
        repo.note(commit)
        git(repo.path, "-c", "user.name=n", "-c", "user.email=n@n", "notes", "--ref=ai", "add", "-f", "-F", "-", commit,
            input=text)  # fmt: skip
        found = collect([str(repo)], ALWAYS, {})
        assert (number(found, "ai_commits"), found.records) == (0, 1)
        assert any("1 notes could not be read" in gap for gap in found.method.gaps)


def test_a_note_that_is_too_long_does_not_hide_the_next(repo, monkeypatch):
    monkeypatch.setattr(git_notes, "MAX_NOTE", 1_000)
    for name, filler in (("a", ",1" * 5_000), ("b", "")):
        repo.note(repo.commit(**{name: 4}), name, f"  ai_agent 1{filler}")
    found = collect([str(repo)], ALWAYS, {})
    assert number(found, "marker_note_commits") == 1
    assert any("1 notes could not be read" in gap for gap in found.method.gaps)


def test_a_broken_note_does_not_hide_the_next(repo):
    for name in ("a", "b", "c"):
        repo.note(repo.commit(**{name: 4}), name, "  ai_agent 1" + ("" if name == "a" else ",2"))
    blob = git(repo.path, "ls-tree", "-r", "refs/notes/ai").split()[2]
    other = git(repo.path, "rev-parse", "HEAD:a")
    objects = repo.path / ".git" / "objects"
    (objects / blob[:2] / blob[2:]).unlink()
    (objects / blob[:2] / blob[2:]).write_bytes((objects / other[:2] / other[2:]).read_bytes()[:9])
    found = collect([str(repo)], ALWAYS, {})
    assert number(found, "marker_note_commits") == 2
    assert any("notes could not be read" in gap for gap in found.method.gaps)


# ── repositories that mean ill ──


def test_nothing_that_a_repository_configures_is_run(repo, tmp_path):
    ran = tmp_path / "ran"
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\ncat\n")
    program.chmod(0o755)
    (repo.path / ".gitattributes").write_text("* diff=evil filter=evil\n")
    repo.commit(a=3)
    hooks = repo.path / ".git" / "hooks"
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman", "post-checkout"):
        hooks.mkdir(exist_ok=True)
        (hooks / hook).write_text(program.read_text())
        (hooks / hook).chmod(0o755)
    for key in (
        "core.fsmonitor", "core.pager", "pager.log", "pager.rev-parse", "diff.external", "diff.evil.command",
        "diff.evil.textconv", "core.sshCommand", "core.gitProxy", "gpg.program", "core.editor", "core.askPass",
        "alias.log", "alias.rev-parse", "filter.evil.clean", "filter.evil.process", "credential.helper",
        "core.alternateRefsCommand",
    ):  # fmt: skip
        git(repo.path, "config", key, str(program))
    git(repo.path, "status")
    assert ran.exists()  # so it is for whoever only looks
    ran.unlink()
    for key, value in (
        ("log.showSignature", "true"), ("mailmap.file", "/dev/zero"), ("log.diffMerges", "on"), ("log.follow", "true"),
        ("extensions.partialClone", "origin"), ("remote.origin.promisor", "true"), ("core.bare", "false"),
        ("remote.origin.url", f"ext::{program}"), ("protocol.ext.allow", "always"), ("core.quotePath", "true"),
        ("diff.noprefix", "true"), ("diff.renames", "copies"), ("core.worktree", "/"), ("color.ui", "always"),
        ("core.repositoryFormatVersion", "1"), ("i18n.logOutputEncoding", "UTF-16"), ("format.pretty", "raw"),
    ):  # fmt: skip
        git(repo.path, "config", key, value)
    found = collect([str(repo)], ALWAYS, {})
    assert (found.records, metric(found, "ai_lines")["denominator"]) == (1, 4)
    assert not ran.exists(), ran.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_a_repository_of_somebody_else(repo):
    repo.commit(a=3)
    for path in (repo.path, *repo.path.rglob("*")):
        os.chown(path, 65_534, 65_534)
    assert collect([str(repo)], ALWAYS, {}).records == 1


def test_a_missing_object_is_not_fetched_and_not_passed_over(repo, tmp_path):
    repo.commit(a=3)
    ran = tmp_path / "ran"
    blob = git(repo.path, "rev-parse", "HEAD:a")
    for key, value in (
        ("extensions.partialClone", "origin"), ("remote.origin.promisor", "true"), ("protocol.ext.allow", "always"),
        ("remote.origin.url", f"ext::touch {ran}"), ("core.repositoryFormatVersion", "1"),
    ):  # fmt: skip
        git(repo.path, "config", key, value)
    (repo.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(Malformed, match="git could not read it"):
        collect([str(repo)], ALWAYS, {})
    assert not ran.exists()


def test_the_environment_of_whoever_runs_it_changes_nothing(repo, tmp_path, monkeypatch):
    repo.commit(a=3)
    other = Repo(tmp_path / "other")
    for name, value in (("GIT_DIR", f"{other}/.git"), ("GIT_EXTERNAL_DIFF", "false"), ("GIT_PAGER", "false")):
        monkeypatch.setenv(name, value)
    assert collect([str(repo)], ALWAYS, {}).records == 1


HOSTILE = [
    "commit " + "0" * 40, "\x1b[2J\x07", "a\rb", "\x01a\x02\x1e\x1f\x7f", "\u202egnp.exe", "1\t2\tx", "$(exit)", "--x",
    "Claude\u200b", "Ⅽlaude Opus 4.6", "\udcff\udcfe", "x" * 5_000,
]  # fmt: skip


def test_hostile_names_messages_and_paths(repo):
    for n, name in enumerate(HOSTILE):
        message = f"{name}\n\ncommit {'a' * 40}\n1\t2\tpath\n{name}\r\n\0hidden {CLAUDE}"
        path = f"{n}{name[:90]}".replace("/", "").replace("\0", "")
        repo.commit(message.replace("\0", ""), author=f"{name} <{n}@x.example>", **{path: n + 1})
    repo.commit("newline", **{"a\nb\t\"'": 100})
    found = collect([str(repo)], ALWAYS, {})
    assert found.records == len(HOSTILE) + 1
    assert metric(found, "ai_lines")["denominator"] == sum(range(len(HOSTILE) + 1)) + 100
    assert (number(found, "ai_commits"), number(found, "active_engineers")) == (0, len(HOSTILE) + 1)
    json.dumps(found.json())


def test_a_commit_with_a_nul_in_its_message_and_no_date(repo):
    repo.commit(a=1)
    tree = git(repo.path, "rev-parse", "HEAD^{tree}")
    raw = f"tree {tree}\nauthor  <> {NOW} +0000\ncommitter  <> {NOW} +0000\n\nhi\0\0commit {CLAUDE}\n".encode()
    where = ("hash-object", "-t", "commit", "-w", "--literally", "--stdin")
    git(repo.path, "update-ref", "refs/heads/main", git(repo.path, *where, input=raw))
    found = collect([str(repo)], ALWAYS, {})
    assert (found.records, number(found, "ai_commits"), metric(found, "ai_lines")["denominator"]) == (1, 0, 1)


def test_replaced_objects_and_grafts_change_nothing(repo):
    first = repo.commit(a=1)
    second = repo.commit(b=1)
    git(repo.path, "replace", second, first)
    assert collect([str(repo)], ALWAYS, {}).records == 2


# ── where there is nothing to read ──


def export(repo):
    path = repo.path.parent / "exported.log"
    command = ["git", "-C", str(repo), *git_log.LOG, "HEAD"]
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return str(path)


def test_an_exported_history_says_the_same(repo):
    repo.commit(f"it\n\n{CLAUDE}\n", a=3)
    repo.commit(b=4)
    here, there = collect([str(repo)], ALWAYS, {}), collect([export(repo)], ALWAYS, {})
    assert here.results == there.results
    assert "exported.log sha256:" in there.method.query


def test_bare_worktree_sha256_and_a_ref(repo, tmp_path):
    repo.commit(a=3)
    git(repo.path, "branch", "old")
    repo.commit(b=3)
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    git(repo.path, "worktree", "add", "-q", str(tmp_path / "tree"))
    longer = Repo(tmp_path / "longer", "--object-format=sha256")
    longer.note(longer.commit(a=1), "a", "  ai_agent 1")
    assert [collect([str(tmp_path / name)], ALWAYS, {}).records for name in ("bare.git", "tree")] == [2, 2]
    assert number(collect([str(longer)], ALWAYS, {}), "ai_lines") == 1
    assert collect([str(repo)], ALWAYS, {"ref": "old"}).records == 1


def test_no_repository_none_with_commits_half_of_one(repo, tmp_path):
    inside = repo.path / "inside"
    inside.mkdir()
    linked = tmp_path / "linked"
    linked.symlink_to(inside)
    for place in (tmp_path / "no", tmp_path, inside, linked):
        with pytest.raises(UsageFault, match="found none"):
            collect([str(place)], ALWAYS, {})
    with pytest.raises(UsageFault, match="expected commits"):
        collect([str(repo)], ALWAYS, {})
    repo.commit()
    repo.commit()
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo}", "shallow")
    with pytest.raises(UsageFault, match="shallow") as caught:
        collect([str(tmp_path / "shallow")], ALWAYS, {})
    assert "unshallow" in caught.value.hint
    for ref in ("nowhere", "--all", "-h", "HEAD..HEAD", ""):
        with pytest.raises(UsageFault, match="expected commits"):
            collect([str(repo)], ALWAYS, {"ref": ref})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"commit abc\n",
        b"\0",
        b"not a log\0",
        b"1\t2\ta\0",
        b"commit " + b"0" * 40 + b"\0a\0b\0c\0",
        b"x" * 3_000_000,
    ],
)
def test_a_file_that_is_no_history(tmp_path, raw):
    path = tmp_path / "file"
    path.write_bytes(raw)
    if raw:
        with pytest.raises(Malformed):
            collect([str(path)], ALWAYS, {})
    else:
        assert "no commit in the window" in collect([str(path)], ALWAYS, {}).method.gaps


def test_half_a_file(repo):
    repo.commit(a=3)
    path = Path(export(repo))
    whole = path.read_bytes()
    for length in range(1, len(whole) - 1):
        if whole[:length].endswith(b"\0\0"):
            continue  # a commit without files is a whole one
        path.write_bytes(whole[:length])
        with pytest.raises(Malformed):
            collect([str(path)], ALWAYS, {})


def test_a_field_without_end(monkeypatch):
    monkeypatch.setattr(git_log, "MAX_FIELD", 10)
    with pytest.raises(Malformed, match="at most 10 bytes"):
        list(git_log.commits(io.BytesIO(b"commit " + b"0" * 40), "here"))


@pytest.mark.parametrize(
    "options", [{"colour": "red"}, {"generated": "maybe"}, {"baseline": "2024"}, {"baseline": "2024-01-01T00:00:00Z"},
                {"baseline": "2024-01-02T00:00:00Z/2024-01-01T00:00:00Z"}],
)  # fmt: skip
def test_options_that_make_no_sense(repo, options):
    repo.commit()
    with pytest.raises(UsageFault):
        collect([str(repo)], ALWAYS, options)


def test_it_is_found_by_the_door_that_strangers_use():
    assert base.find("git") is collect
