"""`imsprep uploads`: what unfinished uploads left in a bucket, and how to remove it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imsprep.cli.options.common import PATH, output_options, print_result
from imsprep.cli.options.target import bucket_from, target_options
from imsprep.errors import show_path

if TYPE_CHECKING:
    from imsprep.upload.cleanup import Leftovers


@click.group(epilog="Example: imsprep uploads list --to local:./cloud")
def command() -> None:
    """List or remove what unfinished uploads left in a bucket.

    Parts of an unfinished upload take space, and are paid for, until it is completed or aborted.
    """


_folder_option = click.option(
    "--work-dir", type=PATH, metavar="DIR", default=".",
    help="Folder of images or containers, where killed commands leave files"
    " (default: the current folder).",
)  # fmt: skip


@command.command("list", epilog="Example: imsprep uploads list --to local:./cloud")
@target_options
@_folder_option
@output_options
def list_command(as_json: bool, quiet: bool, work_dir: Path, **where: object) -> None:
    """List unfinished uploads and what else was left.

    Zero objects and files of killed commands are listed too.
    """
    from imsprep import api

    found = api.find_leftovers(bucket_from(where), work_dir=work_dir)
    print_result(as_json, found.as_dict(), _text(found))


@command.command("abort", epilog="Example: imsprep uploads abort --to local:./cloud --key disk.raw")
@target_options
@click.option("--key", help="Only uploads of this object.")
@click.option("--all", "everything", is_flag=True, help="Remove all, also what still runs.")
@_folder_option
@output_options
def abort_command(
    key: str | None, everything: bool, as_json: bool, quiet: bool, work_dir: Path, **where: object
) -> None:
    """Abort the uploads of one key, or of all.

    With --all, all that `uploads list` shows is removed.
    """
    from imsprep import api

    if (key is None) == (not everything):
        raise click.UsageError("give either --key KEY or --all")
    bucket = bucket_from(where)
    gone = api.abort_uploads(bucket, key=key, everything=everything, work_dir=work_dir)
    print_result(as_json, gone.as_dict(), _text(gone, "removed"))


def _text(found: Leftovers, did: str = "") -> str:
    """Return a table of what is there, or was removed, by its kind."""
    rows = [("upload", u.initiated, u.upload_id, u.key) for u in found.uploads]
    rows += [("zeros", "", "", key) for key in found.zero_keys]
    rows += [("file", "", "", show_path(path)) for path in found.files]
    if not rows:
        return "nothing to clean up"
    titles = (did or "kind", "begun", "upload id", "object or file")
    widths = [max(len(row[n]) for row in (titles, *rows)) for n in range(len(titles) - 1)]
    lines = (
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in (titles, *rows)
    )
    return "\n".join(lines)
