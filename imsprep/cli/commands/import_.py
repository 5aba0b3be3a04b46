"""`imsprep import`: check, scan, upload, import and wait, in one command."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.configured import (
    ConfiguredCommand,
    policy_of,
    profile_option,
    settings_here,
    split_commas,
)
from imsprep.cli.options.common import PATH, RATE, Progress, output_options, print_result
from imsprep.cli.options.importing import asking, order_of, shipping_of, target_of
from imsprep.cli.options.packing import packing_options
from imsprep.cli.options.request import request_options
from imsprep.cli.options.scan import hole_options
from imsprep.cli.options.transfer import transfer_options
from imsprep.cli.progress import AGAIN, Following, if_interrupted, tell_how_it_went
from imsprep.cli.screen import say, say_report
from imsprep.cli.service import (
    WHERE,
    asking_service,
    connected,
    pace_of,
    pace_options,
    service_options,
)
from imsprep.units import exact_size, format_size

if TYPE_CHECKING:
    from imsprep.pipeline.prepare import Prepared
    from imsprep.pipeline.ship import Imported
    from imsprep.store.target import Target

# That of `routes`, as are the names of --via: it loads numpy, which a help text cannot wait for.
BANDWIDTH = 12_500_000

EPILOG = """\
\b
Example:
  imsprep import disk.raw --name web01 --os-version "Debian GNU/Linux 10.0.0 64bit" \\
    --min-disk 40 --to local:./cloud
"""


@click.command(cls=ConfiguredCommand, epilog=EPILOG)
@click.argument("image", type=PATH)
@click.option("--to", required=True, metavar="TARGET", help="local:DIR or obs:BUCKET[/PREFIX].")
@click.option("--key", help="Name of the object; the file's name if not given.")
@click.option(
    "--via",
    type=click.Choice(["raw", "zvhd2", "auto"]),
    default="raw",
    show_default=True,
    help="zvhd2 makes a container first; auto compares both routes and takes the quicker.",
)
@click.option("--bandwidth", type=RATE, default=BANDWIDTH, show_default="12500000",
              help="Bytes per second of your line, for the comparison.")  # fmt: skip
@click.option("--work-dir", type=PATH, metavar="DIR",
              help="For the container that is made; beside the image if not given.")  # fmt: skip
@packing_options
@click.option("--bitmap", type=PATH, help="Bitmap made elsewhere, as it is.")
@click.option("--layout", metavar="FILE|NAME",
              help="Layout of the bitmap, instead of zvhd2's; see imsprep bitmap.")  # fmt: skip
@request_options
@click.option(
    "--ignore",
    multiple=True,
    callback=split_commas,
    metavar="ID",
    help="Check without these rules.",
)
@transfer_options
@hole_options
@click.option("--sha256/--no-sha256", default=False,
              help="Also note the SHA-256 of the whole files, zeros and all.")  # fmt: skip
@click.option("--cleanup", type=click.Choice(["keep", "success", "always"]), default="keep",
              show_default=True, help="When to remove the objects again.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the exact body and the plan; send nothing.")
@service_options
@click.option("--obs-endpoint", metavar="URL", help="The object store, instead of the region's.")
@pace_options
@profile_option
@output_options
def command(image: Path, as_json: bool, quiet: bool, dry_run: bool, **options: Any) -> None:
    """Import a disk image: check it, make its bitmap, upload it, start the import and wait.

    With --via zvhd2 a compressed container is made and uploaded instead, also of qcow2, VMDK and
    what else QEMU reads; it is kept, and used again while image and options are the same.

    Whatever ends it early, the same command goes on where it stopped; disk.imsprep.json beside the
    image says how far it came. With --to local:DIR no account and no server is needed: the service
    is the emulator (see `imsprep emulator --help`).
    """
    target = target_of(options)
    options["policy"] = policy_of(settings_here(), ignore=options["ignore"])
    prepared = _prepare(image, target, options, quiet=quiet, dry_run=dry_run)
    if dry_run:
        print_result(as_json, prepared.as_dict(), _plan_text(prepared, options["api"]))
        return
    done = _ship(prepared, target, options, quiet)
    print_result(as_json, done.as_dict(), _text(done))


def _prepare(
    image: Path, target: Target, options: dict[str, Any], *, quiet: bool, dry_run: bool
) -> Prepared:
    from imsprep.pipeline.prepare import prepare
    from imsprep.zvhd2.convert import likely_size

    def tell(news: str) -> None:
        if not quiet:
            say(news)

    size = likely_size(image)
    with ExitStack() as bars:
        scanned = bars.enter_context(Progress("scan", size, quiet=quiet))

        @cache
        def packing() -> Progress:
            return bars.enter_context(Progress("convert", size, quiet=quiet))

        order = order_of(options, target, scanned, lambda count: packing()(count))
        ask = asking(options, target, dry_run=dry_run, told=tell)
        where = {name: options[name] for name in WHERE}
        pace = pace_of(options["poll"], options["timeout"], quiet=quiet, to=None, where=where)
        service = asking_service(options, target, pace, dry_run=dry_run, told=tell)
        order = replace(order, dry_run=dry_run, told=tell, ask_bucket=ask, ask_service=service)
        prepared = prepare(image, order)
    if not quiet:
        say_report(prepared.report)
    if prepared.comparison is not None:
        tell(f"route: {prepared.comparison.why}")
    return prepared


def _ship(prepared: Prepared, target: Target, options: dict[str, Any], quiet: bool) -> Imported:
    from imsprep.pipeline.ship import ship

    where = {name: options[name] for name in WHERE}
    pace = pace_of(options["poll"], options["timeout"], quiet=quiet, to=options["to"], where=where)
    jobs: list[str] = []

    def how_to_go_on() -> list[str]:
        lines = [f"job {job} goes on without us: {pace.how_to_go_on(job)}" for job in jobs]
        return [*lines, AGAIN]

    plans = [artefact.plan for artefact in prepared.artefacts]
    with (
        connected(target.folder, **where, layout=prepared.layout) as client,
        if_interrupted(how_to_go_on),
        Following(plans, quiet=quiet) as bar,
    ):
        shipping = shipping_of(options, target, client, pace, bar.note)
        done = ship(prepared, replace(shipping, on_job=jobs.append))
    for upload in done.uploads:
        tell_how_it_went(upload)
    return done


def _plan_text(prepared: Prepared, api: str) -> str:
    lines = []
    if prepared.comparison is not None:
        lines += [f"route {route}" for route in prepared.comparison.routes]
        lines.append(f"taken {prepared.comparison.chosen.name}")
    for artefact in prepared.artefacts:
        about = "about " if artefact.estimated else ""
        lines.append(f"{artefact.role} {artefact.path} -> {artefact.key}: {about}{artefact.plan}")
        lines += artefact.plan.lines()
    lines.append(f"POST /{api}/cloudimages/quickimport/action")
    lines.append(json.dumps(prepared.request.as_body(), indent=2, ensure_ascii=False))
    return "\n".join(lines)


def _text(done: Imported) -> str:
    lines = [
        f"image     {done.image_id}",
        f"job       {done.job_id or 'its answer was lost; the image was found by its name'}",
        f"disk      {exact_size(done.size)}, {done.data_share:.1%} of it data",
        f"sent      {format_size(done.sent)}; {format_size(done.copied)} of zeros copied",
        f"findings  {len(done.report.findings)}",
        f"manifest  {done.manifest}",
    ]
    return "\n".join(lines)
