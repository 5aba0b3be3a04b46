"""`imsprep info`: what an image holds, in one screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from imsprep.cli.options.common import image_argument, output_options, print_result
from imsprep.cli.screen import is_terminal, say
from imsprep.cli.settings.configured import site_option


@click.command(epilog="Example: imsprep info disk.raw")
@image_argument
@site_option("Site whose smallest min_disk is shown.")
@click.option("--guest", is_flag=True, help="Look inside, and show how the image would boot.")
@click.option(
    "--firmware",
    type=click.Choice(("bios", "uefi")),
    help="Firmware to start with (default: the image's).",
)
@output_options
def command(image: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Show the sizes of IMAGE in any format, its smallest min_disk, and what a ZVHD2 records.

    No data is read: what is stored is what the file system and the container's tables say.
    With --guest the boot chain is followed inside: firmware, loader, the entry that starts, kernel,
    initramfs, root, mounts, network, cloud-init; each is known, unknown, doubtful or broken,
    whatever waivers say.
    """
    from imsprep import api

    summary = api.info(image, **options)
    print_result(as_json, summary.as_dict(), str(summary), hang=14)
    if is_terminal(sys.stdout) and not (as_json or quiet or options["guest"]):
        say("--guest: how it boots; imsprep check: partitions and file systems")
