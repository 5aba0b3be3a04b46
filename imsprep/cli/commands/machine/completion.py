"""`imsprep completion`: the lines that make a shell complete imsprep's commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(epilog="Example: imsprep completion bash")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print what SHELL has to run: `eval "$(imsprep completion bash)"` in ~/.bashrc."""
    from imsprep.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "imsprep", "_IMSPREP_COMPLETE").source())
