"""`imsprep digest`: the digest of disks, the same in whatever format they lie."""

from __future__ import annotations

import json
from pathlib import Path

import click

from imsprep.cli.options.common import PATH, Progress, output_options
from imsprep.cli.options.scan import holes_option, share_option


@click.command(epilog="Example: imsprep digest disk.raw")
@click.argument("files", type=PATH, nargs=-1, required=True)
@click.option("--sha256", is_flag=True, help="The plain SHA-256 of the whole disk instead.")
@click.option("--jobs", type=click.IntRange(0), default=0, help="Threads; 0: one per CPU.")
@holes_option
@share_option
@output_options
def command(
    files: tuple[Path, ...],
    *,
    sha256: bool,
    jobs: int,
    holes: str,
    force_share: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the digest of the disk in each of FILES: RAW, ZVHD2, qcow2 and what else QEMU reads.

    It is that of the disk and not of the file: the same disk has the same digest in every format.
    Holes and zeros cost nothing. Given several files, the exit code is 1 if their disks differ.
    """
    from imsprep.pipeline.digests import digest_file
    from imsprep.scan.scan import usable_cpus
    from imsprep.zvhd2.convert import likely_size

    found: dict[str, str] = {}
    for path in files:
        with Progress("digest", likely_size(path), quiet=quiet) as bar:
            found[str(path)] = digest_file(
                path,
                jobs=jobs or usable_cpus(),
                sha256=sha256,
                holes=holes,
                force_share=force_share,
                warn=lambda note: click.echo(f"imsprep: warning: {note}", err=True),
                progress=bar,
            )
        if not as_json:
            click.echo(f"{found[str(path)]}  {path}")
    equal = len(set(found.values())) == 1
    if as_json:
        value = {"disks": [{"file": f, "digest": d} for f, d in found.items()], "equal": equal}
        click.echo(json.dumps(value, indent=2))
    if not equal:
        click.get_current_context().exit(1)
