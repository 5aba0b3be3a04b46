"""The options that say how blocks are packed into a ZVHD2, shared by `convert` and `import`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import F, with_options

if TYPE_CHECKING:
    from imsprep.zvhd2.writer import Packing

_OPTIONS = (
    click.option("--compression", type=click.Choice(["zstd", "zlib"]), default="zstd",
                 show_default=True, help="Of a ZVHD2; zlib is for older sites."),
    click.option("--level", type=int,
                 help="1 to 19 for zstd (3 if not given), 1 to 9 for zlib (1)."),
)  # fmt: skip


def packing_options(command: F) -> F:
    """Add --compression and --level; the command takes them as keywords, see `packing_of`."""
    return with_options(command, _OPTIONS)


def packing_of(options: Mapping[str, Any], *, timestamp: int = 0, **more: Any) -> Packing:
    """Return how to pack, from a command's keywords; `more` are fields of `Packing`."""
    from imsprep.scan.scan import usable_cpus
    from imsprep.zvhd2.records import METHODS
    from imsprep.zvhd2.writer import Packing

    method = next(m for m, name in METHODS.items() if name == options["compression"])
    jobs = more.pop("jobs", None) or usable_cpus()
    return Packing(timestamp, method=method, level=options["level"], jobs=jobs, **more)
