"""`imsprep digest`: the digest of disks, the same in whatever format they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imsprep.cli.help.completion import images
from imsprep.cli.options.common import PATH, CountType, output_options, print_result
from imsprep.cli.options.scan import holes_option, share_option
from imsprep.cli.progress.watcher import Watcher
from imsprep.cli.screen import say
from imsprep.errors import show_path
from imsprep.progress import Event, Progress


@click.command(epilog="Example: imsprep digest disk.raw")
@click.argument("files", shell_complete=images, type=PATH, nargs=-1, required=True)
@click.option("--sha256", is_flag=True, help="Print the plain SHA-256 of the whole disk instead.")
@click.option("--jobs", type=CountType(0), default=0, help="Threads; 0: one per CPU.")
@holes_option
@share_option
@output_options
def command(files: tuple[Path, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Print the digest of the disk in each of FILES: RAW, ZVHD2, qcow2 and what else QEMU reads.

    The digest is of the disk, not of the file: the same disk has the same digest in every format.
    Holes and zeros cost nothing. Given several files, the exit code is 1 if their disks differ.
    """
    from imsprep import api

    options["jobs"] = options["jobs"] or None
    found: dict[str, str] = {}
    for path in files:
        with Watcher(quiet=quiet, file=str(path) if len(files) > 1 else None) as watcher:
            found[str(path)] = api.digest(path, progress=_warning(watcher), **options)
        if not as_json:
            print_result(False, {}, f"{found[str(path)]}  {show_path(path)}")
    equal = len(set(found.values())) == 1
    if as_json:
        value = {"disks": [{"file": f, "digest": d} for f, d in found.items()], "equal": equal}
        print_result(True, value, "")
    if not equal:
        say("imsprep: the disks differ")
        click.get_current_context().exit(1)


def _warning(watcher: Watcher) -> Progress:
    """Return a progress whose news are warnings, shown also if quiet."""

    def show(event: Event) -> None:
        if event.text:
            say(f"imsprep: warning: {event.text}")
        else:
            watcher(event)

    return show
