"""`imsprep man`: a manual page of this installation, or where all of them are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import resources

import click

from imsprep.cli.screen import is_terminal
from imsprep.errors import ReadError


@click.command(epilog="Example: imsprep man check")
@click.argument("name", default="imsprep")
@click.option(
    "--path", is_flag=True, help="Print the folder of all pages, for the man1 of a package."
)
def command(name: str, path: bool) -> None:
    """Show the manual page of a command; without a terminal, or man(1), print its source."""
    folder = resources.files("imsprep").joinpath("data", "man")
    if path:
        click.echo(str(folder))
        return
    page = folder.joinpath(f"{name if name == 'imsprep' else f'imsprep-{name}'}.1")
    try:
        text = page.read_text("utf-8")
    except OSError:
        advice = "imsprep --help lists the commands"
        raise ReadError(f"there is no page for {name!r}; {advice}") from None
    man = shutil.which("man") if is_terminal(sys.stdout) else None
    if man is None:
        click.echo(text, nl=False)
        return
    with resources.as_file(page) as file:
        ended = subprocess.run([man, str(file.absolute())], check=False).returncode
    if ended > 0:
        raise ReadError(f"man ended with code {ended}; the page is {file}")
