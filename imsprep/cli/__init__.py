"""The command line: parse, call the library, print, end with a documented exit code.

A command is a module in `commands/`, in a folder a section of the help, and holds no decision about
images. `SECTIONS` names them with their one-line help, so that `imsprep --version` and `--help`
load none of them. `main` is the only place that turns errors into a sentence and an exit code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import keyword
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import click

from imsprep import __version__
from imsprep.errors import FindingsError, ImsprepError, ReadError

SECTIONS: dict[str, dict[str, str]] = {
    "Bring images in": {
        "check": "Check disk images and the request to import them.",
        "import": "Check, send, import and wait, in one command.",
        "batch": "Import many images from a plan, several at a time.",
        "wait": "Wait for an import job that was started before.",
        "boot": "Start an image in QEMU and report whether it boots.",
        "info": "Show format and sizes of an image; --guest: how it boots.",
    },
    "Step by step": {
        "convert": "Convert RAW, qcow2 and others to ZVHD2, and back to RAW.",
        "digest": "Print the digests of disks in any format, and compare them.",
        "bitmap": "Make the bitmap file of a RAW image.",
        "verify": "Verify a bitmap file against its image.",
        "upload": "Upload one file to a bucket, without sending its zeros.",
        "uploads": "List or remove what unfinished uploads left in a bucket.",
    },
    "This machine and its settings": {
        "doctor": "Check what imsprep needs on this machine.",
        "config": "Show the settings in effect and where they come from.",
        "os-versions": "List the os_version values that a site accepts.",
        "bench": "Measure how fast this machine scans, or estimate for an image.",
        "demo": "Make a small disk image and run every step on it.",
        "emulator": "Run a strict local image service, for tests and CI.",
        "completion": "Print the completion script for bash, zsh or fish.",
        "man": "Show a manual page, or the folder of all.",
    },
}
FOLDERS = dict(zip(SECTIONS, ("imports", "steps", "machine"), strict=True))  # of their modules
COMMANDS = {name: line for section in SECTIONS.values() for name, line in section.items()}

EXIT_CODES = """\
\b
Exit codes:
  0    done; nothing at or above the failing severity
  1    the image or request has findings that fail
  2    wrong usage or configuration, or a missing part
  3    could not check: unreadable, I/O error, no space
  4    the image changed while it was being read
  5    the transfer broke; run again to continue
  6    the service refused or the job failed
  7    gave up waiting
  130  interrupted (Ctrl-C)
  143  terminated (SIGTERM)
"""


# Words that a person tries, and what does that here.
_MEANT = {
    "help": "See imsprep --help, or imsprep COMMAND --help.",
    "version": "See imsprep --version.",
    "estimate": "See imsprep bench IMAGE for RAW, and imsprep import --dry-run for any format.",
    "explain": "See imsprep check --explain RULE.",
    "rules": "See imsprep check --list-rules.",
}
_AS_NEAR = 0.05  # of 1, by which two words are alike
ERROR_SCHEMA = "imsprep.error/1"  # of what --json prints where a command has no result
INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 and the signal's number


class Terminated(BaseException):
    """SIGTERM arrived; unwinds like KeyboardInterrupt so that every `finally` runs."""


class CommandTable(click.Group):
    """A group whose commands are imported when they are called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        folder = next((FOLDERS[s] for s, commands in SECTIONS.items() if name in commands), None)
        if folder is None:
            return None
        word = name.replace("-", "_")
        word += "_" * keyword.iskeyword(word)
        module = importlib.import_module(f"imsprep.cli.commands.{folder}.{word}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line; one that is nearly right is suggested."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib  # only for a word that is wrong

            if name in _MEANT:
                ctx.fail(f"No such command {name!r}. {_MEANT[name]}")
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            if close:
                ctx.fail(f"No such command {name!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; at its end no bar is left, whatever ended it."""
        from imsprep.cli.progress.board import BOARD
        from imsprep.cli.screen import end_bars

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if end_bars():  # the terminal's ^C went with the bars: click has no line to end
                raise click.Abort from None
            raise
        finally:
            BOARD.end()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none."""
        widest = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), line) for name, line in commands.items()])


@click.group(
    cls=CommandTable,
    epilog=EXIT_CODES + "\nExample: imsprep check disk.raw",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    __version__, "-V", "--version", prog_name="imsprep", message="%(prog)s %(version)s"
)
def cli() -> None:
    """Bring a disk image into Huawei Cloud IMS by quick import.

    It checks an image of any format, sends only its data, as ZVHD2 or as RAW with its bitmap, and
    waits for the import job. The result of a command is on stdout, everything else on stderr.
    """


def main() -> None:
    """Run the command line and end the process with the documented exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    _prepare_streams()
    code = run(sys.argv[1:])
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done and said
    gc.freeze()  # the process ends: no need to look for cycles in what it leaves
    if code in (INTERRUPTED, TERMINATED) and threading.active_count() > 1:
        # A user waits at the terminal, and a part on its way may take minutes; it is no loss.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors become one sentence on stderr."""
    from imsprep.cli import screen

    try:
        _hear_interrupts()
        screen.reset()
        result = cli.main(args=arguments, prog_name="imsprep", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption):
            near = _nearest(error.option_name, error.possibilities or ())
            error = click.NoSuchOption(error.option_name, possibilities=near, ctx=error.ctx)
        return _wrong_usage(arguments, error)
    except FindingsError as error:
        return _refuse(arguments, error)
    except ImsprepError as error:
        return _fail(arguments, error)
    except (BrokenPipeError, SystemExit):
        # The reader of our output went away, as `head` does; nothing more can be said. click would
        # end with 1 then, which here is the code of findings.
        _give_stdout_up()
        return 3
    except OSError as error:
        what = error.filename or "stdout or another file"
        return _fail(arguments, ReadError.from_os(error, "cannot use", what))
    except (KeyboardInterrupt, click.exceptions.Abort):
        return _fail_plainly(arguments, "interrupted", INTERRUPTED)
    except Terminated:
        return _fail_plainly(arguments, "terminated", TERMINATED)
    except Exception as error:  # the last handler: a traceback must not reach a user
        if os.environ.get("IMSPREP_TRACEBACK"):
            raise
        text = f"internal error: {type(error).__name__}: {error} (IMSPREP_TRACEBACK=1 shows where)"
        return _fail_plainly(arguments, text, 3)


def _nearest(word: str, offers: Sequence[str]) -> list[str]:
    """Return the offer that is nearest to a word, and another that is nearly as near."""
    import difflib  # only for a word that is wrong

    alike = {offer: difflib.SequenceMatcher(None, word, offer).ratio() for offer in offers}
    best = sorted(alike, key=lambda offer: -alike[offer])[:2]
    return [offer for offer in best if alike[offer] > alike[best[0]] - _AS_NEAR]


def _hear_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from now on; where it is ignored, it stays so."""
    here = threading.current_thread() is threading.main_thread()
    if here and callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _prepare_streams() -> None:
    """Open the null device for a standard stream that is closed, and end if it is stdout.

    A file of ours must not get its number: what a library or another program writes to stderr would
    go into it.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # names that the locale has no letters for
    if sys.stdout is None:
        sys.exit(_fail([], ReadError("cannot write the result: stdout is closed")))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _give_stdout_up() -> None:
    """Send what is still to come to the null device, so that no flush fails at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# The option for a parameter that the library names, and what it does where that is not plain.
REMEDIES = {
    "bitmap": "--bitmap",
    "ca_bundle": "--ca-bundle names the certificates to trust",
    "copy_zeros": "--no-copy sends the zeros too",
    "endpoint": "--endpoint is the image service",
    "folder": "--dir",
    "force": "--force",
    "force_share": "--force-share reads it all the same",
    "key": "--key",
    "kms_key": "--kms-key",
    "layout": "--layout",
    "min_disk": "--min-disk",
    "name": "--name",
    "obs_endpoint": "--obs-endpoint is the object store",
    "os_version": "--os-version; imsprep os-versions lists the values",
    "output": "--output",
    "port": "--port",
    "region": "--region",
    "replace": "--replace replaces it",
    "size": "--size",
    "to": "--to",
    "to_format": "--to-format",
    "via": "--via zvhd2",
    "work_dir": "--work-dir",
}


def _wrong_usage(arguments: list[str], error: click.ClickException) -> int:
    from imsprep.cli import wrong_usage

    if wrong_usage.is_help(error):
        with contextlib.suppress(OSError):
            click.echo(error.format_message(), err=True)
        return error.exit_code
    message = wrong_usage.words(error, arguments)
    with contextlib.suppress(OSError):
        wrong_usage.show(error, message)
    return _tell_program(arguments, "UsageError", message, 2)


def _fail(arguments: list[str], error: ImsprepError) -> int:
    from imsprep.cli.wrong_usage import without_keys

    text = without_keys(_with_remedies(arguments, error))
    return _say(arguments, type(error).__name__, text, error.exit_code)


def _with_remedies(arguments: list[str], error: ImsprepError) -> str:
    """Return the message of an error, and what helps: options of this command, or an extra."""
    has = _options_of(arguments) if error.remedies else ()
    offers = [REMEDIES[name] for name in error.remedies if name in REMEDIES]
    fitting = [offer for offer in offers if offer.split()[0].rstrip(";") in has]
    return f"{error} ({', '.join(fitting)})" if fitting else str(error)


def _options_of(arguments: list[str]) -> set[str]:
    """Return the options of the command that a command line names."""
    command: click.Command = cli
    for word in arguments:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(click.Context(command), word) or command
    if isinstance(command, click.Group):  # its main form has no name: `imsprep bitmap disk.raw`
        command = command.get_command(click.Context(command), "make") or command
    return {option for param in command.params for option in param.opts + param.secondary_opts}


def _refuse(arguments: list[str], error: FindingsError) -> int:
    """Show the findings that stopped a step as `imsprep check` shows them, then the sentence."""
    if error.report is None:
        return _fail(arguments, error)
    from imsprep.cli.screen import say, say_report

    with contextlib.suppress(OSError):
        say_report(error.report)
        say(f"imsprep: {str(error).partition(chr(10))[0].rstrip(':')}")
    return _tell_program(arguments, type(error).__name__, str(error), error.exit_code)


def _fail_plainly(arguments: list[str], text: str, code: int) -> int:
    return _say(arguments, "Stopped", text, code)


def _say(arguments: list[str], kind: str, text: str, code: int) -> int:
    from imsprep.cli.screen import say

    with contextlib.suppress(OSError):  # the code says it too
        say(f"imsprep: {text}")
    return _tell_program(arguments, kind, text, code)


def _tell_program(arguments: list[str], kind: str, message: str, code: int) -> int:
    """Print the error on stdout too when JSON was asked for, so that a program can read it."""
    if "--json" in arguments:
        error = {"kind": kind, "message": message, "exit_code": code}
        try:
            click.echo(json.dumps({"schema": ERROR_SCHEMA, "error": error}))
        except OSError:
            _give_stdout_up()
    return code


def _terminate(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
