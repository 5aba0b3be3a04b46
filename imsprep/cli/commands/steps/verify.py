"""`imsprep verify`: prove a bitmap file against its image again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imsprep.cli.options.common import PATH, image_argument, output_options, print_result
from imsprep.cli.options.scan import reading_options
from imsprep.cli.progress.watcher import Watcher


@click.command(epilog="Example: imsprep verify disk.raw")
@image_argument
@click.option(
    "--bitmap",
    type=PATH,
    metavar="FILE",
    help="The bitmap (default: IMAGE with the suffix .mf).",
)
@click.option(
    "--layout",
    "layout_name",
    metavar="FILE|NAME",
    help="Layout of the bitmap file if no sidecar states it (default: zvhd2).",
)
@reading_options
@output_options
def command(
    image: Path,
    bitmap: Path | None,
    layout_name: str | None,
    as_json: bool,
    quiet: bool,
    **reading: Any,
) -> int:
    """Prove that every block which the bitmap of IMAGE marks as empty holds only zeros.

    Data that is marked empty would be lost: an error, exit code 1. So is a bitmap of another image
    or of an older state. Zeros that are marked as data are only noted.
    """
    from imsprep import api

    reading["jobs"] = reading["jobs"] or None
    with Watcher(quiet=quiet) as watcher:
        proof = api.verify_bitmap(
            image, bitmap=bitmap, layout=layout_name, progress=watcher, **reading
        )
    print_result(as_json, proof.as_dict(), str(proof), hang=2)
    return 0 if proof.holds else 1
