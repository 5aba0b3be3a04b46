"""Sections of help texts: every option once, the needed ones first, at one place in all commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import click
import pytest

from imsprep.cli import COMMANDS, cli
from imsprep.cli.help.sections import OFTEN, OTHER, SectionedCommand
from tests.support.running import Outcome

GROUPED = ("check", "import", "batch", "convert", "upload")


# As the program has it: a command keeps the first help option that it is asked for.
SETTINGS = {"terminal_width": 80, "help_option_names": cli.context_settings["help_option_names"]}


def context_of(name: str) -> tuple[SectionedCommand, click.Context]:
    command = cli.get_command(click.Context(cli, **SETTINGS), name)
    assert isinstance(command, SectionedCommand)
    return command, click.Context(command, info_name=name, **SETTINGS)


@pytest.mark.parametrize("name", GROUPED)
def test_every_option_stands_in_one_section_and_none_is_left_over(name: str) -> None:
    command, context = context_of(name)
    sections = command.sections(context)
    assert sections[0][0] == OFTEN
    assert len(sections[0][1]) == len(command.first)  # each of them is an option that is there
    shown = [p for _, params in sections for p in params]
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    assert sorted(map(id, shown)) == sorted(map(id, options))
    rest = {o for p in dict(sections)[OTHER] for o in p.opts}
    assert rest <= {"--config", "--profile", "--help", "-h"}


@pytest.mark.parametrize("name", GROUPED)
def test_the_explanations_of_all_sections_begin_in_one_column(name: str) -> None:
    command, context = context_of(name)
    rows = command.get_help(context).splitlines()
    begins = {m.start(1) for row in rows if (m := re.match(r"  -\S.*?\S  +(\S)", row))}
    assert len(begins) == 1, begins
    before = rows[: next(n for n, row in enumerate(rows) if "Example" in row)]
    assert max(map(len, before)) <= 80


def test_the_list_of_commands_is_in_sections_too() -> None:
    text = cli.get_help(click.Context(cli, info_name="imsprep", **SETTINGS))
    places = [text.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)
    assert list(COMMANDS)[:2] == ["check", "import"]


def test_a_command_that_is_nearly_right_is_suggested(imsprep: Callable[..., Outcome]) -> None:
    done = imsprep("chek", "disk.raw")
    assert done.code == 2
    assert "No such command 'chek'. Did you mean 'check'?" in done.err
    assert "Did you mean" not in imsprep("qqqq").err


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("help", "See imsprep --help, or imsprep COMMAND --help."),
        ("version", "See imsprep --version."),
        ("estimate", "See imsprep bench IMAGE for RAW, and imsprep import --dry-run for any"),
        ("explain", "See imsprep check --explain RULE."),
        ("rules", "See imsprep check --list-rules."),
    ],
)
def test_what_is_no_command_is_answered_by_what_does_it(
    imsprep: Callable[..., Outcome], word: str, answer: str
) -> None:
    done = imsprep(word)
    assert done.code == 2
    assert f"No such command {word!r}. {answer}" in done.err


def test_the_version_has_a_short_option(imsprep: Callable[..., Outcome]) -> None:
    assert imsprep("-V").out == imsprep("--version").out


@pytest.mark.parametrize(
    ("word", "offered"),
    [("--gest", ["--guest"]), ("--min-disc", ["--min-disk"]), ("--zzzzzzzz", []),
     ("--endpoin", ["--endpoint"])],
)  # fmt: skip
def test_an_option_that_is_nearly_right_gets_the_nearest_alone(
    imsprep: Callable[..., Outcome], word: str, offered: list[str]
) -> None:
    done = imsprep("import", "disk.raw", word)
    assert done.code == 2
    assert re.findall(r"'(--[a-z-]+)'", done.err.partition("Did you mean")[2]) == offered


def test_an_import_s_help_says_what_is_required() -> None:
    rows = " ".join(HELPS["imsprep import"].split())
    assert "TARGET local:DIR or obs:BUCKET[/PREFIX]. [required] --region" in rows
    assert "[required with obs:] --name" in rows
    assert "[required but for DataImage] --min-disk" in rows


def every_help(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Yield each command with its help, as it is shown at 80 columns."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_help(
                below, click.Context(below, info_name=name, parent=context, **SETTINGS)
            )


HELPS = dict(every_help(cli, click.Context(cli, info_name="imsprep", **SETTINGS)))


@pytest.mark.parametrize("path", HELPS)
def test_a_help_fits_into_80_columns_and_its_examples_can_be_copied(path: str) -> None:
    assert [line for line in HELPS[path].splitlines() if len(line) > 80] == []
    said = re.search(r"^  Examples?:(.*)", HELPS[path], re.DOTALL | re.MULTILINE)
    assert said is not None
    joined = said[1].replace("\\\n", "").strip()
    for line in joined.splitlines():  # none is the broken rest of another
        assert line.split()[0] == "imsprep", line


@pytest.mark.parametrize("path", HELPS)
def test_a_help_names_numbers_without_the_signs_of_a_programmer(path: str) -> None:
    assert not re.search(r"RANGE|x[<>]=|[<>]=x|\(\(", HELPS[path])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("batch", "p.yaml", "--jobs", "0"), "'--jobs': expected 1 or more, got 0"),
        (("upload", "a", "--jobs", "65"), "'--jobs': expected 1 to 64, got 65"),
        (("digest", "a", "--jobs", "two"), "'--jobs': 'two' is not a whole number"),
        (("boot", "a", "--time-limit", "0.5"), "expected at least 1 s, got 0.5 s"),
        (("wait", "a", "--timeout", "nan"), "'nan' is not a number of seconds"),
    ],
)
def test_a_number_out_of_its_range_says_what_was_expected(
    imsprep: Callable[..., Outcome], arguments: tuple[str, ...], said: str
) -> None:
    done = imsprep(*arguments)
    assert done.code == 2
    assert said in done.err
