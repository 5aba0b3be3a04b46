"""The options that say how an image is scanned, shared by the commands that scan.

`scan_options` is for commands whose work is the scan, `reading_options` for those of them that have
no block size to choose; their values go through `scanning_with_jobs`.
`hole_options` is for those that also scan and whose --jobs means something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from imsprep.cli.options.common import CountType, SizeType
from imsprep.options import HoleOptions, choices
from imsprep.units import KIB, MIB, format_size

F = TypeVar("F", bound=Callable[..., object])

_SMALLEST, _LARGEST = 4 * KIB, 32 * MIB


class _BlockSizeType(SizeType):
    """A size that blocks may have."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return the number of bytes, or end with a usage error."""
        size = super().convert(value, param, ctx)
        if not _SMALLEST <= size <= _LARGEST or size % _SMALLEST:
            limits = f"{format_size(_SMALLEST)} to {format_size(_LARGEST)}"
            self.fail(f"{value} is not a block size; take a multiple of 4 KiB from {limits}")
        return size


def holes_option(command: F) -> F:
    """Add --holes."""
    return click.option(
        "--holes",
        type=click.Choice(choices(HoleOptions, "holes")),
        default=HoleOptions.holes,
        show_default=True,
        help="Trust that holes are zeros, read them, or trust known file systems only.",
    )(command)


def share_option(command: F) -> F:
    """Add --force-share, which is qemu-img's word too."""
    return click.option(
        "-U",
        "--force-share",
        is_flag=True,
        help="Read an image that another program has open for writing.",
    )(command)


def hole_options(command: F) -> F:
    """Add --holes, --keep-cache and --force-share."""
    keep = click.option(
        "--keep-cache", is_flag=True, help="Leave in the page cache what the scan read."
    )
    return keep(holes_option(share_option(command)))


def reading_options(command: F) -> F:
    """Add --jobs, --holes and --keep-cache."""
    return click.option(
        "--jobs",
        type=CountType(0),
        default=0,
        help="Processes that read; 0: one per CPU, four at most.",
    )(hole_options(command))


def scan_options(command: F) -> F:
    """Add --block-size, which is None if it is not given, and those of `reading_options`."""
    return click.option(
        "--block-size",
        type=_BlockSizeType(),
        help="Bytes that one bit stands for, as 4m (default: 2m, or what --layout says).",
    )(reading_options(command))


def scanning_with_jobs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return how to scan, by the names of `ScanOptions`, where --jobs is the scan's."""
    return {
        "holes": options["holes"],
        "keep_cache": options["keep_cache"],
        "force_share": options["force_share"],
        "jobs": options["jobs"] or None,
    }
