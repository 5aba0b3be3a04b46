"""`imsprep bench`: how fast this machine scans, and what an image will take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.help.completion import images
from imsprep.cli.options.common import PATH, RATE, CountType, SizeType, output_options, print_result
from imsprep.cli.options.scan import reading_options, scanning_with_jobs
from imsprep.cli.progress.watcher import Watcher
from imsprep.errors import UsageError
from imsprep.units import GIB, MIB

if TYPE_CHECKING:
    from imsprep.scan.bench.scan_estimate import Estimate
    from imsprep.scan.bench.synthetic import Bench

EPILOG = """\
\b
Examples:
  imsprep bench --synthetic --size 64m
  imsprep bench disk.raw --bandwidth 12m
"""


@click.command(epilog=EPILOG)
@click.argument("image", shell_complete=images, type=PATH, required=False)
@click.option("--synthetic", is_flag=True, help="Make a file of each kind and scan it.")
@click.option("--dir", "folder", type=PATH, metavar="DIR",
              help="Folder for --synthetic (default: the current folder).")  # fmt: skip
@click.option("--size", type=SizeType(MIB), help="Size of each --synthetic file (default: 1g).")
@click.option(
    "--bandwidth", type=RATE, help="Bandwidth in bytes per second: estimate the upload too."
)
@click.option("--runs", type=CountType(1, 100), default=3, show_default=True,
              help="Number of times that each is measured.")  # fmt: skip
@reading_options
@output_options
def command(image: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure how fast this machine scans, or estimate what IMAGE will take.

    With --synthetic, files of holes, written zeros, random data and both in turn are made one by
    one, scanned, cold and cached, and removed. IMAGE is RAW; samples of it are only read. Each
    figure is the median, with the least and the most.
    """
    folder, size, bandwidth = options["folder"], options["size"], options["bandwidth"]
    if (image is None) != options["synthetic"]:
        raise UsageError("name an IMAGE to estimate, or give --synthetic, not both")
    if image is not None and (folder is not None or size is not None):
        raise UsageError("--dir and --size are for --synthetic")
    if image is None and bandwidth is not None:
        raise UsageError("--bandwidth is for an IMAGE")
    from imsprep import api

    common: dict[str, Any] = {**scanning_with_jobs(options), "runs": options["runs"]}
    result: Bench | Estimate
    with Watcher(quiet=quiet) as watcher:
        if image is not None:
            result = api.estimate(image, bandwidth=bandwidth, progress=watcher, **common)
        else:
            result = api.bench(folder or Path(), size=size or GIB, progress=watcher, **common)
    print_result(as_json, result.as_dict(), str(result), hang=9)
