# SPDX-License-Identifier: Apache-2.0
"""For whoever holds a copy of a log: follow, cosign, serve, compare."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from threading import Event, Thread
from typing import Any

import click

from pausectl.agreement.document import Agreement
from pausectl.cli import serving
from pausectl.cli.evidence import parse_log_key
from pausectl.cli.files import load_agreement, load_key, naming
from pausectl.errors import UsageFault
from pausectl.history.source import open_source
from pausectl.mirror.compare import Comparison
from pausectl.mirror.follow import Mirror
from pausectl.mirror.trust import Cosigner, Trust
from pausectl.mirror.watch import Watch
from pausectl.net.limits import Limits
from pausectl.report import terminal
from pausectl.report.inert import safe


@click.command()
@click.argument("source")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--agreement", "agreement_file", type=click.Path(path_type=Path), help="The agreement that the log keeps."
)
@click.option("--origin", help="Which of the agreement's logs, if it is a successor.")
@click.option("--vkey", help="The log's verifier key, to mirror a log without an agreement; no witness is asked for.")
@click.option(
    "--key", "key_file", envvar="PAUSECTL_KEY", type=click.Path(path_type=Path),
    help="Cosign what is held with this key, of the mirror's own.",
)  # fmt: skip
@click.option("--mldsa-key", "mldsa_file", type=click.Path(path_type=Path), help="Its ML-DSA-44 key, of the same name.")
@click.option("--once", is_flag=True, help="Visit the log once, and end.")
@click.option("--every", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Seconds between two visits.")
@click.option("--listen", metavar="HOST:PORT", help="Serve what is held. Port 0: any.")
@click.option(
    "--compare", "others", multiple=True, metavar="URL",
    help="A witness (its monitoring prefix) or another mirror, whose view of the log has to be the same.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Files fetched at a time.")
def mirror(source: str, directory: Path, once: bool, every: float, listen: str | None, **options: Any) -> int:  # noqa: ANN401
    """Keep a checked copy of the log at SOURCE in DIR: DIR/log is public, DIR/state is not."""
    if once and listen:
        raise UsageFault("expected --once or --listen, not both")
    trust = _trust(options["agreement_file"], options["vkey"], options["origin"])
    files = [file for file in (options["key_file"], options["mldsa_file"]) if file]
    cosigner = _cosigner(files, trust) if files else None
    log, others = open_source(source), [open_source(url) for url in options["others"]]
    say = serving.say if listen else _say
    with naming(directory):
        opened = Mirror(directory, trust, cosigner, jobs=options["jobs"])
    with opened:
        comparison, progress = Comparison(opened, others), terminal.progress("mirroring")
        watch = Watch(opened, log, comparison, clock=lambda: int(time.time()), say=say, progress=progress)
        if once:
            return watch.once()
        return _served(watch, opened, every, listen) if listen else _watched(watch, every)


def _say(text: str) -> None:
    click.echo(safe(text), err=True)


def _trust(agreement_file: Path | None, vkey: str | None, origin: str | None) -> Trust:
    if (agreement_file is None) == (vkey is None) or (vkey and origin):
        raise UsageFault("expected either --agreement or --vkey, and --origin with an agreement only")
    if agreement_file is not None:
        agreement = load_agreement(agreement_file)
        under = agreement.of_log(origin) if origin else agreement
        if origin and under.origin != origin:
            raise UsageFault(f"--origin: the agreement has no log {origin}")
        return Trust.of(under)
    return Trust(parse_log_key(vkey or ""))


def _cosigner(key_files: Sequence[Path], trust: Trust) -> Cosigner:
    keys = [load_key(path) for path in key_files]
    names = {name for name, _ in keys}
    if len(names) > 1:
        raise UsageFault(f"--key: expected keys of one name, found {', '.join(sorted(names))}")
    made = Cosigner(names.pop(), [key for _, key in keys], trust)
    if trust.agreement is not None and not _is_named(made, trust.agreement):
        _say(f"{made.name} is no mirror of the agreement, or this is not its key: nobody counts its cosignatures there")
    return made


def _is_named(cosigner: Cosigner, agreement: Agreement) -> bool:
    return any(key in cosigner.keys for key in agreement.mirror_keys.values())


def _watched(watch: Watch, every: float) -> int:
    """Until SIGTERM or SIGINT."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return watch.run(every, stop)


def _served(watch: Watch, opened: Mirror, every: float, listen: str) -> int:
    """The same, while a server answers; it ends when the watching does."""
    server = import_module("pausectl.mirror.server")
    stop, ended = Event(), Future[None]()
    thread = Thread(target=_into, args=(ended, lambda: watch.run(every, stop)), name="watch")
    thread.start()
    try:
        doors = server.doors(opened.memory.public, opened.trust.origin)
        serving.serve(doors, listen, Limits(), metrics=server.Numbers(watch), until=ended)
    finally:
        stop.set()
        thread.join()
    return watch.code


def _into(ended: Future[None], work: Callable[[], object]) -> None:
    """Let the server know how `work` ended."""
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - it is raised where the server was started
        ended.set_exception(error)
    else:
        ended.set_result(None)
