"""`imsprep config`: which settings apply here, and where each one came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from imsprep.cli.options.common import PATH, print_result
from imsprep.cli.settings.configured import (
    config_options,
    option_defaults,
    profile_option,
    settings_here,
)
from imsprep.cli.settings.layers import OPTION_TABLES, Setting


@click.group(epilog="Example: imsprep config show")
def command() -> None:
    """Show the settings in effect and where they come from."""


@command.command(epilog="Example: imsprep config show --json")
@profile_option
@click.option(
    "--config", type=PATH, help="Use this configuration file, not the nearest imsprep.toml."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def show(config: Path | None, as_json: bool) -> None:
    """Print every setting with its value and origin.

    The origin is the environment, a profile, a file, or the default.
    """
    settings = settings_here(config)
    options = {name: _options(name, config) for name in OPTION_TABLES}
    rows = list(settings.items())
    rows += [(f"{name} {k}", s) for name, found in options.items() for k, s in found.items()]
    width = max(len(key) for key, _ in rows)
    lines = [f"{key:{width}}  {_words(s.value)}  ({s.origin})" for key, s in rows]
    value = {
        "schema": "imsprep.config/1",
        "settings": _values(settings),
        "options": {name: _values(found) for name, found in options.items()},
    }
    print_result(as_json, value, "\n".join(lines))


def _options(name: str, config: Path | None) -> dict[str, Setting]:
    """Return what the file says of a command's options; UsageError where the command fails."""
    context = click.get_current_context().find_root()
    root = context.command
    found = root.get_command(context, name) if isinstance(root, click.Group) else None
    if found is not None:
        option_defaults(found, name, config)
    return config_options(name, config)


def _values(settings: Mapping[str, Setting]) -> dict[str, object]:
    return {k: {"value": _plain(s.value), "origin": s.origin} for k, s in settings.items()}


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_words(v) for v in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items()) or "none"
    return str(value)


def _plain(value: object) -> object:
    """Return a value that JSON can hold; dates become text."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | bool) else str(value)
