"""`imsprep convert`: RAW, qcow2 and others to ZVHD2, and ZVHD2 to RAW."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imsprep.cli.help.completion import images, rules
from imsprep.cli.help.sections import SectionedCommand
from imsprep.cli.options.common import PATH, PLACE, SIZE, CountType, output_options, print_result
from imsprep.cli.options.packing import packing_options
from imsprep.cli.options.scan import holes_option, share_option
from imsprep.cli.options.target import place_options
from imsprep.cli.options.transfer import send_options
from imsprep.cli.progress.upload import AGAIN, if_interrupted, tell_how_it_went
from imsprep.cli.progress.watcher import Watcher
from imsprep.cli.screen import say
from imsprep.errors import ContentError, UsageError
from imsprep.options import ConvertOptions

EPILOG = """\
\b
Examples:
  imsprep convert disk.raw disk.zvhd2
  imsprep convert disk.qcow2 obs:my-bucket --region eu-de
"""


@click.command(
    cls=SectionedCommand,
    epilog=EPILOG,
    first=("to_format", "from_format", "force", "jobs", "key", "region"),
)
@click.argument("source", shell_complete=images, type=PATH)
@click.argument("target", type=PLACE)
@click.option(
    "--to-format",
    type=click.Choice(["zvhd2", "raw"]),
    help="Format of TARGET, if its name does not say it.",
)
@click.option("--from-format", metavar="FORMAT", help="Format of SOURCE, if detection is wrong.")
@click.option(
    "--disk",
    metavar="DISK",
    help="Disk of an OVA or OVF: its file, id or number, as info lists them (default: the system"
    " disk).",
)
@packing_options
@click.option(
    "--block-size",
    type=SIZE,
    default=ConvertOptions.block_size,
    help="Block size of a ZVHD2, 1m to 32m (default: 2m).",
)
@click.option("--jobs", type=CountType(0), default=0, help="Threads; 0: one per CPU.")
@click.option("--uuid", "id_", type=click.UUID, help="UUID of the ZVHD2, instead of a random one.")
@click.option(
    "--timestamp",
    type=int,
    metavar="SECONDS",
    help="Time of creation in the ZVHD2, in seconds since 1970, instead of"
    " SOURCE_DATE_EPOCH or now. With a given time the same disk gives"
    " the same bytes.",
)
@holes_option
@share_option
@click.option(
    "--ignore",
    shell_complete=rules,
    multiple=True,
    metavar="ID",
    help="Convert a ZVHD2 that fails this rule of check. Useful for IMS313, an index out of"
    " order: the block numbers then count.",
)
@click.option("--verify", type=click.Choice(["full", "none"]), default="full", show_default=True,
              help="Read each packed block back and compare it, or not.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace TARGET if it exists.")
@click.option("--key", help="Name of the object in a bucket (default: SOURCE's name with .zvhd2).")
@place_options
@send_options
@output_options
def command(
    source: Path, target: Path | str, as_json: bool, quiet: bool, **options: object
) -> None:
    """Convert a disk: RAW to ZVHD2, ZVHD2 to RAW (sparse), or what QEMU reads to ZVHD2.

    The format of SOURCE is detected, that of TARGET follows from its name. qcow2, VMDK, VHD, VHDX,
    VDI and others are read through qemu-nbd, without a RAW copy on the way. TARGET appears when it
    is whole, and every block in it was read back, unpacked and compared; whatever ends the command
    earlier leaves nothing.

    TARGET may be a bucket, local:DIR or obs:BUCKET[/PREFIX]: the ZVHD2 is packed while it is sent
    and no file is made here. What was interrupted continues when the same command runs again.
    """
    from imsprep import Converted, api

    formats = api.source_formats()
    if options["from_format"] not in (None, *formats):
        raise UsageError(f"--from-format must be one of {', '.join(formats)}")
    with Watcher(quiet=quiet) as watcher, _again_if_interrupted(target):
        try:
            done = api.convert(source, target, progress=watcher, **_asked(options))
        except ContentError as error:
            if not error.ambiguous:
                raise
            states = "; state its format with --from-format, as in --from-format raw"
            raise ContentError(f"{error}{states}") from error
    for warning in done.warnings:
        say(f"imsprep: warning: {warning}")
    if isinstance(done, Converted):
        done = replace(done, target=Path(target))  # as named here, not where its links lead
    else:
        tell_how_it_went(done.uploaded)
    print_result(as_json, done.as_dict(), str(done), hang=2)


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """Return how to convert, by the names of `ConvertOptions`."""
    other = {
        "uuid": "id_", "obs_endpoint": "endpoint", "bytes_per_s": "limit_rate",
        "retry_for_s": "retry_for",
    }  # fmt: skip
    given = {name: value for name, value in options.items() if name not in other.values()}
    given |= {name: options[said] for name, said in other.items()}
    id_ = given["uuid"]
    return given | {
        "uuid": id_.bytes if id_ else None,
        "jobs": given["jobs"] or None,
        "ignore": tuple(given["ignore"]),
    }


def _again_if_interrupted(target: Path | str) -> AbstractContextManager[None]:
    """Say how to go on where a part of an object is in the bucket already."""
    return if_interrupted(lambda: [AGAIN] if isinstance(target, str) else [])
