"""`imsprep import`: check, scan, upload, import and wait, in one command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.common import SIZE, Progress, output_options, print_result
from imsprep.cli.request_options import request_fields, request_options
from imsprep.cli.scan_options import hole_options, scanning
from imsprep.cli.service import connected, pace_of, pace_options, service_options
from imsprep.units import exact_size, format_size

if TYPE_CHECKING:
    from imsprep.pipeline import Imported
    from imsprep.prepare import Prepared
    from imsprep.targets import Target
    from imsprep.waiting import Pace

EPILOG = """\
\b
Example:
  imsprep import disk.raw --name web01 --os-version "Debian GNU/Linux 10.0.0 64bit" \\
    --min-disk 40 --to local:./cloud
"""


@click.command(epilog=EPILOG)
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="TARGET", help="local:DIR or obs:BUCKET[/PREFIX].")
@click.option("--key", help="Name of the object; the file's name if not given.")
@click.option(
    "--via",
    type=click.Choice(["raw", "zvhd2", "auto"]),
    default="raw",
    show_default=True,
    help="auto compares both routes and says which is quicker.",
)
@click.option("--bandwidth", type=SIZE, help="Bytes per second of your line, for --via auto.")
@click.option("--bitmap", type=click.Path(path_type=Path), help="Bitmap made elsewhere, as it is.")
@request_options
@click.option("--ignore", multiple=True, metavar="ID", help="Check without these rules.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, help="Parts at the same time.")
@hole_options
@click.option("--limit-rate", type=SIZE, help="Most bytes per second, as 10m.")
@click.option("--no-copy", is_flag=True, help="Send zeros too, copy nothing in the store.")
@click.option("--no-sha256", is_flag=True, help="Do not hash the whole files for the manifest.")
@click.option("--cleanup", type=click.Choice(["keep", "success", "always"]), default="keep",
              show_default=True, help="When to remove the objects again.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the exact body and the plan; send nothing.")
@service_options
@click.option("--obs-endpoint", metavar="URL", help="The object store, instead of the region's.")
@pace_options
@output_options
def command(image: Path, as_json: bool, quiet: bool, dry_run: bool, **options: Any) -> None:
    """Import a disk image: check it, make its bitmap, upload it, start the import and wait.

    Whatever ends it early, the same command goes on where it stopped; disk.imsprep.json beside the
    image says how far it came. With --to local:DIR no account and no server is needed: the service
    is the emulator (see `imsprep emulator --help`).
    """
    from imsprep.targets import parse_target

    target = parse_target(options["to"], region=options["region"], endpoint=options["obs_endpoint"])
    prepared = _prepare(image, target, options, quiet)
    if dry_run:
        print_result(as_json, prepared.as_dict(), _plan_text(prepared))
        return
    done = _ship(prepared, target, options, quiet)
    print_result(as_json, done.as_dict(), _text(done))


def _prepare(image: Path, target: Target, options: dict[str, Any], quiet: bool) -> Prepared:
    from imsprep.checks.policy import Policy
    from imsprep.prepare import Order, prepare
    from imsprep.routes import BANDWIDTH
    from imsprep.sites import SITES

    size = image.stat().st_size if image.is_file() else 0
    with Progress("scan", size, quiet=quiet) as bar:
        order = Order(
            fields=request_fields(options),
            target=target,
            site=SITES[options["site"]],
            key=options["key"],
            bitmap=options["bitmap"],
            policy=Policy(ignore=options["ignore"]),
            copy_zeros=not options["no_copy"],
            via=options["via"],
            bytes_per_s=options["bandwidth"] or BANDWIDTH,
            progress=bar,
            scanning=scanning(options),
        )
        prepared = prepare(image, order)
    for finding in prepared.report.findings:
        if not quiet:
            click.echo(f"{finding.rule} {finding.severity.word}: {finding.message}", err=True)
    if prepared.comparison is not None and not quiet:
        click.echo(f"routes: {prepared.comparison.why}", err=True)
        if prepared.comparison.quicker.name != "raw":
            click.echo("routes: it goes as raw all the same, an import does not convert", err=True)
    return prepared


def _ship(prepared: Prepared, target: Target, options: dict[str, Any], quiet: bool) -> Imported:
    from imsprep.image import RawImage
    from imsprep.pipeline import Shipping, ship
    from imsprep.targets import open_store
    from imsprep.transfer import Options

    where = {name: options[name] for name in ("site", "region", "endpoint", "api")}
    pace = pace_of(options["poll"], options["timeout"], quiet=quiet, to=options["to"], where=where)
    store = open_store(target)
    with connected(target.folder, **where) as client, _following(prepared, pace, quiet) as follow:
        shipping = Shipping(
            store=store,
            bucket=target.bucket,
            target=str(target),
            service=client,
            service_name=client.url if target.folder is None else f"local:{target.folder}",
            pace=pace,
            open_source=RawImage.open,
            progress=follow.note,
            options=Options(jobs=options["jobs"], bytes_per_s=options["limit_rate"]),
            cleanup=options["cleanup"],
            with_sha256=not options["no_sha256"],
            on_job=follow.job,
        )
        return ship(prepared, shipping)


class _Follow:
    """What is told of a shipment while it goes on."""

    def __init__(self, bar: Progress) -> None:
        self._bar, self.job_id = bar, ""

    def note(self, *, sent: int = 0, copied: int = 0, reused: int = 0) -> None:
        """Advance the bar."""
        self._bar(sent + copied + reused)

    def job(self, job_id: str) -> None:
        """Remember the job for whoever interrupts the waiting."""
        self.job_id = job_id


@contextmanager
def _following(prepared: Prepared, pace: Pace, quiet: bool) -> Iterator[_Follow]:
    """Show progress; an interruption is told how to go on."""
    total = sum(artefact.plan.size for artefact in prepared.artefacts)
    with Progress("upload", total, quiet=quiet) as bar:
        follow = _Follow(bar)
        try:
            yield follow
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C or SIGTERM
                _tell_how_to_go_on(follow.job_id, pace)
            raise


def _tell_how_to_go_on(job_id: str, pace: Pace) -> None:
    if job_id:
        click.echo(f"job {job_id} goes on without us: {pace.how_to_go_on(job_id)}", err=True)
    click.echo("the same command goes on where this one stopped", err=True)


def _plan_text(prepared: Prepared) -> str:
    lines = []
    for artefact in prepared.artefacts:
        lines.append(f"{artefact.role} {artefact.path} -> {artefact.key}: {artefact.plan}")
    lines.append("POST /v2/cloudimages/quickimport/action")
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
