"""`imsprep man`: where the manual pages of this installation are."""

from __future__ import annotations

from importlib import resources

import click

from imsprep.errors import ReadError


@click.command(epilog="Example: imsprep man --path")
@click.argument("name", default="imsprep")
@click.option(
    "--path", is_flag=True, help="Print the folder of all pages, for MANPATH or a package."
)
def command(name: str, path: bool) -> None:
    """Print the manual page of a command, as `imsprep man check | man -l -` shows it."""
    folder = resources.files("imsprep").joinpath("data", "man")
    if path:
        click.echo(str(folder))
        return
    page = name if name == "imsprep" else f"imsprep-{name}"
    try:
        click.echo(folder.joinpath(f"{page}.1").read_text("utf-8"), nl=False)
    except OSError:
        advice = "imsprep --help lists the commands"
        raise ReadError(f"there is no page for {name!r}; {advice}") from None
