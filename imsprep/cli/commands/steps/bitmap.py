"""`imsprep bitmap`: make the bitmap file of a RAW image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.help.completion import images
from imsprep.cli.options.common import (
    PATH,
    SIZE,
    image_argument,
    output_options,
    print_result,
)
from imsprep.cli.options.scan import reading_options, scan_options, scanning_with_jobs
from imsprep.cli.progress.watcher import Watcher
from imsprep.errors import UsageError, show_path
from imsprep.options import BitmapOptions, ProbeOptions, choices
from imsprep.units import counted, exact_size, format_size

if TYPE_CHECKING:
    from imsprep.bitmap.export import Exported
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.bitmap.learn.files import LearnedFromFiles
    from imsprep.bitmap.write import Made


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
    """Make the bitmap file of a RAW image: disk.raw gets disk.mf and its sidecar disk.mf.json.

    The bitmap says which blocks hold data; quick import needs it. A block is marked empty only
    if every byte of it is zero. An IMAGE that is called as one of the commands is written ./IMAGE.
    """


@command.command(hidden=True, epilog="Example: imsprep bitmap disk.raw")
@image_argument
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="Name of the bitmap (default: IMAGE with the suffix .mf).",
)
@click.option(
    "--layout",
    "layout_name",
    default=BitmapOptions.layout,
    metavar="FILE|NAME",
    help="Layout of the bitmap file: a file that `bitmap learn` saved, or zvhd2 (default).",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["mf", "bmap", "qemu-map"]),
    default="mf",
    show_default=True,
    help="bmap: for bmaptool copy; qemu-map: as qemu-img map prints it; both in blocks of 4k.",
)
@click.option("--force", is_flag=True, help="Replace a bitmap that imsprep did not make.")
@scan_options
@output_options
def make(
    image: Path, format_: str, layout_name: str, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Make the bitmap of IMAGE; the same as without the word `make`."""
    from imsprep import api

    options["jobs"] = options["jobs"] or None
    with Watcher(quiet=quiet) as watcher:
        made: Made | Exported
        if format_ == "mf":
            made = api.make_bitmap(image, layout=layout_name, progress=watcher, **options)
        else:
            made = api.export_map(image, format=format_, progress=watcher, **options)
    print_result(as_json, made.as_dict(), str(made), hang=2)


@command.command(epilog="Example: imsprep bitmap probe probe.raw")
@click.argument("file", shell_complete=images, type=PATH)
@click.option("--size", type=SIZE, help="Size in bytes, in whole sectors (default: 64 MiB).")
@click.option("--kind", type=click.Choice(choices(ProbeOptions, "kind")),
              default=ProbeOptions.kind, show_default=True,
              help="What the image contains: data here and there, or a boundary case: no data,"
              " data in every block, in"
              " one block.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@output_options
def probe(file: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Write a sparse RAW image whose bitmap shows `learn` how a tool lays bitmaps out.

    Run the other tool on it, as in java -jar CreateMF.jar probe.raw probe.mf, then imsprep bitmap
    learn probe.raw probe.mf, which says what second probe is needed. The image takes little disk,
    whatever its size.
    """
    from imsprep import api

    data = api.write_probe(file, **options)
    size = file.stat().st_size
    text = f"{show_path(file)}: {exact_size(size)}, {format_size(data)} of them data"
    print_result(as_json, {"file": str(file), "size": size, "data_bytes": data}, text)


@command.command(epilog="Example: imsprep bitmap learn probe.raw probe.mf")
@click.argument("files", nargs=-1, required=True, type=PATH,
                metavar="RAW MF [RAW MF]...")  # fmt: skip
@click.option("-o", "--output", type=PATH, metavar="FILE",
              help="File for the layout (default: MF with the suffix .layout.json).")  # fmt: skip
@reading_options
@output_options
def learn(
    files: tuple[Path, ...], output: Path | None, as_json: bool, quiet: bool, **reading: object
) -> int:
    """Find the layout that reproduces another tool's bitmap MF of the image RAW, byte for byte.

    Exit code 1 if none fits, or several, or there is one pair only: then give the pair of a second
    probe too. A layout that fits is matched against these files only: it is used for disks between
    them in size, and for one without data, full of data, or with one block of data only if such a
    one was among them. It is saved, and used by imsprep bitmap disk.raw --layout probe.layout.json.
    """
    from imsprep import api

    if len(files) % 2:
        raise UsageError("learn takes pairs: an image and its bitmap, an image and its bitmap, …")
    pairs = list(zip(files[::2], files[1::2], strict=True))
    with Watcher(quiet=quiet) as watcher:
        learned = api.learn_layout(
            pairs, output=output, progress=watcher, **scanning_with_jobs(reading)
        )
    print_result(as_json, learned.as_dict(), _learned_text(learned, pairs[0][1]))
    return 0 if learned.outcome == "one" else 1


def _learned_text(learned: LearnedFromFiles, bitmap: Path) -> str:
    name = show_path(bitmap)
    if learned.saved is not None:
        (layout,) = learned.layouts
        return (
            f"{name} is reproduced byte for byte by one layout:\n  {layout}\n"
            f"saved as {show_path(learned.saved)}; it is matched against"
            f" {counted(len(layout.matched), 'file')}, and nothing is known of others:\n"
            + _range_text(layout)
        )
    if not learned.layouts:
        lines = [f"{name}: no layout of a known kind fits; {learned.reached}; nothing was saved"]
    else:
        fit = "layout fits" if len(learned.layouts) == 1 else "layouts fit"
        lines = [f"{name}: {len(learned.layouts)} {fit}, and nothing was saved:"]
        lines += [f"  {layout}" for layout in learned.layouts]
    if learned.second_probe is not None:
        why = "" if learned.proved else "; of one file anything may be a constant"
        lines += [
            f"make the second probe, run the tool on it, and give learn both pairs{why}:",
            f"  imsprep bitmap probe second.raw --size {learned.second_probe}",
        ]
    return "\n".join(lines)


def _range_text(layout: BitmapLayout) -> str:
    """Return for which disks a learned layout is used, and how to widen that."""
    sizes = [match.image_size for match in layout.matched]
    lines = [
        f"it is used for disks from {format_size(min(sizes))} to {format_size(max(sizes))};"
        " a larger probe makes it more"
    ]
    seen = {match.shape.state for match in layout.matched}
    for kind in choices(ProbeOptions, "kind")[1:]:
        if kind not in seen:
            what = {"none": "without data", "all": "with data in every block"}
            disk = what.get(kind, "with data in one block")
            lines.append(f"not for one {disk}: imsprep bitmap probe {kind}.raw --kind {kind}")
    return "\n".join(lines)
