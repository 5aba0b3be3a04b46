"""Manual pages: the text of `--help` as roff, one page a command, for imsprep/data/man/.

Source: man(7), groff: .TH, .SH, .TP; a line that begins with a dot or a quote needs an escape.
"""

from __future__ import annotations

import re

import click

from imsprep.cli.help.sections import SectionedCommand

_SECTION = 1


def page(context: click.Context, command: click.Command, version: str) -> str:
    """Return the manual page of a command."""
    name = context.command_path.replace(" ", "-")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f'.TH "{name.upper()}" "{_SECTION}" "" "imsprep {version}" "imsprep"',
        ".SH NAME", f"{_roff(name)} \\- {_roff(command.get_short_help_str(200).rstrip('.'))}",
        ".SH SYNOPSIS", f".B {_roff(context.command_path)}", _roff(usage),
        ".SH DESCRIPTION", *_paragraphs(command.help or ""),
    ]  # fmt: skip
    lines += _options(context, command)
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None and not found.hidden:
                lines += [".TP", f".B {_roff(inner)}", _roff(found.get_short_help_str(200))]
    if command.epilog:
        title, _, rest = command.epilog.replace("\b\n", "").partition(":")
        lines += [f".SH {_roff(title.strip().upper())}", ".nf", *map(_roff, _kept(rest)), ".fi"]
    return "\n".join(lines) + "\n"


def _options(context: click.Context, command: click.Command) -> list[str]:
    """Return the options, below the titles that `--help` shows if they are in sections."""
    sections = [("", command.get_params(context))]
    if isinstance(command, SectionedCommand) and command.first:
        sections = command.sections(context)

    def record_of(param: click.Parameter) -> tuple[str, str] | None:
        if isinstance(command, SectionedCommand):
            return command.record(param, context)
        return param.get_help_record(context)

    lines: list[str] = []
    for title, params in sections:
        records = [r for p in params if (r := record_of(p)) is not None]
        lines += [f'.SS "{_roff(title)}"'] if title and records else []
        for names, words in records:
            lines += [".TP", f".B {_roff(names)}", _roff(words)]
    return [".SH OPTIONS", *lines] if lines else []


def _kept(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def _paragraphs(text: str) -> list[str]:
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip())]
    return [line for part in parts for line in (".PP", _roff(part))]


def _roff(text: str) -> str:
    """Return text as roff shows it unchanged."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
