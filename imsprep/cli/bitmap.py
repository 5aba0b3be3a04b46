"""`imsprep bitmap`: make the bitmap file that goes beside a RAW image."""

from __future__ import annotations

from pathlib import Path

import click

from imsprep.cli.common import SIZE, Progress, image_argument, output_options, print_result


class _Bitmap(click.Group):
    """A group whose main form needs no name: `imsprep bitmap disk.raw` makes a bitmap.

    An image that is called as a subcommand is reached as `./probe`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the main form's name in front, where no subcommand is named."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [make.name or "", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the main form first."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] IMAGE")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the main form's options, then the other commands."""
        make.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=_Bitmap, epilog="Example: imsprep bitmap disk.raw")
def command() -> None:
    """Make the bitmap file of a RAW image: disk.raw gets disk.mf, and disk.mf.json beside it.

    The bitmap says which blocks hold data; quick import asks for it. A block is marked empty only
    if every byte of it is zero. An IMAGE that is called as one of the commands is written ./IMAGE.
    """


@command.command(hidden=True, epilog="Example: imsprep bitmap disk.raw")
@image_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The bitmap's name; IMAGE with the suffix .mf if not given.",
)
@click.option(
    "--layout",
    "layout_name",
    default="zvhd2",
    metavar="FILE|NAME",
    help="How the bitmap lies in the file: what learn saved, or zvhd2, the default.",
)
@click.option("--block-size", type=SIZE, help="Bytes of a block, instead of the layout's.")
@click.option("--force", is_flag=True, help="Replace a bitmap that imsprep did not make.")
@output_options
def make(
    image: Path,
    output: Path | None,
    layout_name: str,
    block_size: int | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make the bitmap of IMAGE; the same as without the word `make`."""
    from dataclasses import replace

    from imsprep.layoutfile import load_layout
    from imsprep.pairing import make_bitmap

    layout = load_layout(layout_name)
    if block_size is not None:
        layout = replace(layout, block_size=block_size)
    with Progress("scan", _size(image), quiet=quiet) as bar:
        made = make_bitmap(image, layout=layout, output=output, force=force, progress=bar)
    print_result(as_json, made.as_dict(), str(made))


def _size(image: Path) -> int:
    return image.stat().st_size if image.is_file() else 0
