"""`imsprep digest`: the digest of disks, the same in whatever format they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.help.completion import images
from imsprep.cli.options.common import PATH, CountType, output_options, print_result
from imsprep.cli.options.scan import holes_option, share_option
from imsprep.cli.progress.watcher import Watcher
from imsprep.cli.screen import say
from imsprep.errors import show_path
from imsprep.options import DigestOptions
from imsprep.progress import Event, Progress

if TYPE_CHECKING:
    from imsprep.pipeline.digests import DiskDigest


_SIZE_ALONE = " in size alone: they are equal up to the smallest's end, behind which are zeros"


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
    Holes and zeros cost nothing. Given several files, the exit code is 1 if their disks differ,
    in size alone too, which is then said.
    """
    from imsprep import api

    options["jobs"] = options["jobs"] or None
    found: dict[str, DiskDigest] = {}
    for path in files:
        with Watcher(quiet=quiet, file=str(path) if len(files) > 1 else None) as watcher:
            asked = DigestOptions(progress=_warning(watcher), **options)
            found[str(path)] = api.disk_digest(path, asked)
        if not as_json:
            print_result(False, {}, f"{found[str(path)].text}  {show_path(path)}")
    equal = len({one.text for one in found.values()}) == 1
    padded = not equal and api.differ_in_size_alone(found.values())
    if as_json:
        disks = [{"file": f, "digest": d.text, "size": d.size} for f, d in found.items()]
        print_result(True, {"disks": disks, "equal": equal, "differ_in_size_alone": padded}, "")
    if not equal:
        say(f"imsprep: the disks differ{_SIZE_ALONE if padded else ''}")
        click.get_current_context().exit(1)


def _warning(watcher: Watcher) -> Progress:
    """Return a progress whose news are warnings, shown also if quiet."""

    def show(event: Event) -> None:
        if event.text:
            say(f"imsprep: warning: {event.text}")
        else:
            watcher(event)

    return show
