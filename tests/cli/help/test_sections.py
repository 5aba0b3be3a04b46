"""Sections of help texts: every option once, the needed ones first, at one place in all commands."""

from __future__ import annotations

import re
from collections.abc import Callable

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
