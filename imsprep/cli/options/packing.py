"""The options that say how blocks are packed into a ZVHD2, shared by `convert` and `import`."""

from __future__ import annotations

import click

from imsprep.cli.options.common import F, with_options
from imsprep.options import PackOptions, choices

_OPTIONS = (
    click.option("--compression", type=click.Choice(choices(PackOptions, "compression")),
                 default=PackOptions.compression, show_default=True,
                 help="Compression of a ZVHD2; zlib is for older sites."),
    click.option("--level", type=int, metavar="N",
                 help="Compression level: 1 to 19 for zstd (default: 3), 1 to 9 for zlib (1)."),
)  # fmt: skip


def packing_options(command: F) -> F:
    """Add --compression and --level; the command takes them as keywords."""
    return with_options(command, _OPTIONS)
