"""Every command at 60, 80 and 120 columns of a terminal: no line is wider that could be broken."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from imsprep import cli
from imsprep.units import MIB
from tests.support.running import slow

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# What is no text for people: a script, a page of troff, and what serves until it is ended.
NOT_READ = {"completion", "man"}
REQUEST = ("--name", "web01", "--type", "DataImage", "--min-disk", "10")
LONG = "a-name-of-an-image-that-is-as-long-as-those-that-build-pipelines-make.raw"
JOB = "8a12fc664fb4daa3014fb4e581380005"

LINES: dict[str, tuple[str, ...]] = {
    "check": ("{disk}", "--scan", "--show-skipped", "-v", "--min-disk", "0", "--name", "a b"),
    "check long": ("{long}", *REQUEST),
    "check gone": ("nothing-of-this-name-is-in-the-folder-from-which-the-program-is-run.raw",),
    "check rules": ("--list-rules",),
    "check rule": ("--explain", "IMS712"),
    "import dry": ("{disk}", *REQUEST, "--to", "local:dry", "--dry-run"),
    "import raw": ("{disk}", *REQUEST, "--to", "local:raw", "--via", "raw", "--dry-run", "-v"),
    "import": ("{disk}", *REQUEST, "--to", "local:cloud", "-v"),
    "import again": ("{disk}", *REQUEST, "--to", "local:cloud"),
    "import refused": ("{long}", *REQUEST, "--to", "local:cloud", "--min-disk", "1"),
    "import wrong": ("{disk}", "--to", "local:cloud"),
    "batch": ("plan.yaml", "--dry-run"),
    "batch all": ("plan.yaml", "--skip-failing"),
    "wait": (JOB, "--to", "local:cloud"),
    "boot": ("gone.raw",),
    "info": ("{disk}",),
    "info packed": ("packed.zvhd2",),
    "convert": ("{disk}", "packed-again.zvhd2"),
    "digest": ("{disk}", "{long}", "packed.zvhd2"),
    "bitmap": ("{disk}", "-o", "disk.mf"),
    "bitmap probe": ("probe", "probe.raw"),
    "bitmap learn": ("learn", "{disk}", "other.mf"),
    "verify": ("{disk}", "--bitmap", "other.mf"),
    "upload": ("{disk}", "--to", "local:cloud", "--key", "a/b"),
    "upload dry": ("{disk}", "--to", "local:cloud", "--dry-run"),
    "upload gone": ("{disk}", "--to", "obs:a-bucket-without-a-region", "--dry-run"),
    "uploads list": ("list", "--to", "local:cloud"),
    "uploads abort": ("abort", "--to", "local:cloud", "--key", "gone"),
    "doctor": ("--region", "eu-de"),
    "config show": ("show",),
    "os-versions": ("--site", "otc"),
    "bench": ("--image", "{disk}"),
    "demo": (),
    "demo again": (),
    "emulator": ("cloud", "--port", "1"),
}


@dataclass
class Screen:
    """A pty of so many columns, and all that was written to it."""

    columns: int
    written: bytearray = field(default_factory=bytearray)

    def run(self, *words: str) -> tuple[int, list[str]]:
        """Run a command line in this process; return its exit code and its lines."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, self.columns, 0, 0))
        reader = threading.Thread(target=self._read, args=(ours,))
        reader.start()
        kept = sys.stdout, sys.stderr
        self.written.clear()
        with open(theirs, "w", encoding="utf-8") as terminal:
            sys.stdout = sys.stderr = terminal
            try:
                code = cli.run(list(words))
            finally:
                sys.stdout, sys.stderr = kept
        reader.join()
        os.close(ours)
        plain = CONTROL.sub("", self.written.decode())
        return code, [line for row in plain.split("\n") for line in row.split("\r") if line]

    def _read(self, ours: int) -> None:
        while True:
            try:
                self.written += os.read(ours, 65536)
            except OSError:  # EIO: the other end was closed
                return


def could_be_broken(line: str, columns: int) -> bool:
    """Return whether a line is too wide and has a blank at which it could end."""
    # What is to be copied: JSON, and the commands of an example.
    exact = line.lstrip().startswith(("{", '"', "imsprep ", "--"))
    return len(line) > columns and not exact and " " in line[: columns + 1].strip()


@pytest.fixture(params=[slow(60), 80, slow(120)])
def screen(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Screen:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("imsprep.ims.wait.UNKNOWN_PAUSE_S", 0)
    return Screen(request.param)


@pytest.fixture
def places(screen: Screen, imsprep: object, tmp_path: Path) -> dict[str, str]:
    """A disk, one with a long name, a ZVHD2, a bitmap that does not fit, and a plan."""
    for name, byte in (("disk.raw", b"\x01"), (LONG, b"\x02")):
        (tmp_path / name).write_bytes(byte * MIB + bytes(7 * MIB))
    (tmp_path / "other.mf").write_bytes(b"\0" * 4096)
    screen.run("convert", "disk.raw", "packed.zvhd2")
    image = f"{{image: {LONG}, name: web-of-the-shop-in-production-01, type: DataImage}}"
    other = "{image: disk.raw, name: web02, type: DataImage, min-disk: 10}"
    small = "{image: packed.zvhd2, name: web03, type: DataImage, min-disk: 1}"
    (tmp_path / "plan.yaml").write_text(
        f"defaults: {{to: 'local:cloud', min-disk: 40}}\nimages: [{image}, {other}, {small}]\n"
    )
    return {"disk": "disk.raw", "long": LONG}


@pytest.mark.parametrize("line", LINES)
def test_no_line_of_a_command_is_wider_than_the_terminal(
    line: str, screen: Screen, places: dict[str, str]
) -> None:
    words = [line.split()[0], *(word.format(**places) for word in LINES[line])]
    if line.endswith("again"):
        screen.run(*words)
    _, lines = screen.run(*words)
    assert lines
    assert [one for one in lines if could_be_broken(one, screen.columns)] == []


def commands(
    command: click.Command = cli.cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


def test_no_line_of_a_help_or_of_wrong_usage_is_wider_than_the_terminal(screen: Screen) -> None:
    wide = []
    for path in commands():
        for words in (
            (*path, "--help"),
            (*path, "--an-option-that-is-not-there-and-is-quite-long"),
        ):
            _, lines = screen.run(*words)
            assert lines, words
            wide += [(words, one) for one in lines if could_be_broken(one, screen.columns)]
    assert {one for _, one in wide} == set()


def test_all_commands_are_looked_at() -> None:
    looked_at = {line.split()[0] for line in LINES}
    assert looked_at == set(cli.COMMANDS) - NOT_READ


def test_a_line_that_could_be_broken_is_noticed() -> None:
    assert could_be_broken("words " * 10, 20)
    assert not could_be_broken("words " * 3, 20)
    assert not could_be_broken(" " * 9 + "x" * 40, 20)
    assert could_be_broken("word  " + "x" * 40, 20)
