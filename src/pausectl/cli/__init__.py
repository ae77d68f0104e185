# SPDX-License-Identifier: Apache-2.0
"""The door. Data on stdout, prose on stderr, one error line and perhaps a hint; no command holds logic.

Exit codes: 0 consistent, 1 inconsistent, 2 usage, 3 inconclusive, 4 forged or malformed evidence, 5 internal error.
click alone would end with 1 on a crash, on Ctrl-C and on a closed pipe, which here would mean "inconsistent".
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from pausectl.errors import PausectlError

#: Command → (module in this folder, one line of help). The table prints the help, so that `--help` imports no party.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Play a pause with three labs, one honest, and catch the others."),
    "verify": ("verify", "Judge a ledger under an agreement."),
    "bundle": ("verify", "Copy a ledger into one file, to verify it offline."),
    "policy": ("policy", "Export, show or check a policy: which logs, how many witnesses."),
    "proof": ("proof", "Make or check a receipt: that an entry stands in a ledger."),
    "explain": ("explain", "Say what a rule asks, why, and what it cannot see."),
    "agreement": ("agreement", "Draft, sign and show an agreement."),
    "lab": ("lab", "Seal telemetry, attest and submit, as a lab."),
    "log": ("log", "Run a log: init, join, succeed, add, cosign, serve, show, fsck."),
    "witness": ("witness", "Run a witness: init, add-log, list, show, serve."),
    "mirror": ("mirror", "Keep a checked copy of a log, serve it, and compare what others were shown."),
    "evidence": ("evidence", "Check a file that says that a log signed two histories."),
    "intake": ("intake", "Give receipts for statements, and hand them on to the log."),
    "keygen": ("keys", "Make a key."),
    "sim": ("sim", "Play a cheat and see which rule catches it."),
}

EPILOG = (
    "Exit codes: 0 consistent, 1 inconsistent, 2 usage, 3 inconclusive, 4 forged or malformed evidence, "
    "5 internal error."
)


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import the one module that is needed."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{COMMANDS[name][0]}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Print the table itself; click would open every module for its help line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pausectl", prog_name="pausectl", message="%(prog)s %(version)s")
def cli() -> None:
    """Show that a coordinated pause is kept, or see that it is not."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; of one that served, end with it here and now."""
    code = _code(arguments)
    serving = sys.modules.get(f"{__name__}.serving")
    if serving is not None:
        serving.leave(code)
    return code


def _code(arguments: Sequence[str] | None) -> int:
    """Run a command line; the only place where an exception becomes an exit code."""
    try:
        result: Any = cli.main(args=arguments, prog_name="pausectl", standalone_mode=False)
        if sys.stdout is not None:  # as it is after `>&-`
            sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort) as error:
        bug = isinstance(error.__cause__, EOFError)  # which click takes for Ctrl-D wherever it comes from
        return complain(*blame(error.__cause__)) if bug else 130
    except BrokenPipeError:
        return hang_up()
    except SystemExit as error:  # how click ends after a closed pipe, with 1, and after shell completion, with 0
        return hang_up() if error.code else 0
    except Exception as error:
        if os.environ.get("PAUSECTL_DEBUG") and not isinstance(error, PausectlError | click.ClickException):
            raise
        return complain(*blame(error))
    return result if isinstance(result, int) else 0


def blame(error: BaseException | None) -> tuple[str, str, int]:
    """Message, hint and exit code. A bug of ours must end in 5, never in 1, which would be a verdict."""
    if isinstance(error, PausectlError):
        return str(error), error.hint, error.exit_code
    if isinstance(error, click.ClickException):
        hint = f"try '{error.ctx.command_path} --help'" if isinstance(error, click.UsageError) and error.ctx else ""
        return _lower(error.format_message()), hint, 2
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", "", 2
    return f"internal error: {type(error).__name__}: {error}", "PAUSECTL_DEBUG=1 shows where", 5


def hang_up() -> int:
    """Whoever read stdout has gone: the shell's code for that, and nowhere to write to for what is still buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it flushes at exit
    return 141


def complain(message: str, hint: str, code: int) -> int:
    """One line on stderr, perhaps a hint, made inert, since what errors quote is not ours; the code for returning."""
    safe = import_module("pausectl.report.inert").safe
    click.echo(f"pausectl: error: {safe(message)}", err=True)
    if hint:
        click.echo(f"pausectl: hint: {safe(hint)}", err=True)
    return code


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")
