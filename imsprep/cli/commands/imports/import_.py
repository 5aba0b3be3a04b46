"""`imsprep import`: check, scan, upload, import and wait, in one command."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.help.completion import images, rules
from imsprep.cli.options.common import PATH, RATE, output_options, print_result
from imsprep.cli.options.importing import import_options
from imsprep.cli.options.packing import packing_options
from imsprep.cli.options.request import request_options
from imsprep.cli.options.scan import hole_options
from imsprep.cli.options.service import pace_options, service_options
from imsprep.cli.options.transfer import transfer_options
from imsprep.cli.progress.upload import tell_how_it_went
from imsprep.cli.progress.watcher import Watcher
from imsprep.cli.screen import say, say_report, wrapped
from imsprep.cli.settings.configured import (
    ConfiguredCommand,
    profile_option,
    settings_here,
    split_commas,
)
from imsprep.errors import show_path, show_words
from imsprep.options import ImportOptions, choices
from imsprep.progress import UPLOAD, Event, Progress
from imsprep.units import counted, format_seconds, format_size, rough_size

if TYPE_CHECKING:
    from imsprep.checks.subject.boot_mode import BootMode
    from imsprep.pipeline.ova.all_disks import Planned
    from imsprep.pipeline.values import Imported, Prepared

EPILOG = """\
\b
Example:
  imsprep import disk.raw --guest --name web01 --min-disk 40 \\
    --os-version "Debian GNU/Linux 12.0.0 64bit" --site otc --to local:./cloud
"""


@click.command(
    cls=ConfiguredCommand,
    epilog=EPILOG,
    first=("to", "region", "name", "os_version", "min_disk", "guest", "dry_run"),
    needed={
        "to": "required",
        "region": "required with obs:",
        "name": "required",
        "os_version": "required but for DataImage",
        "min_disk": "required",
    },
)
@click.argument("image", shell_complete=images, type=PATH)
@click.option("--to", metavar="TARGET", help="local:DIR or obs:BUCKET[/PREFIX].")
@click.option("--key", help="Name of the object (default: the file's name).")
@click.option(
    "--via",
    type=click.Choice(choices(ImportOptions, "via")),
    default=ImportOptions.via,
    show_default=True,
    help="Format to upload; auto: zvhd2, or raw with a bitmap that the vendor's tool made.",
)
@click.option("--bandwidth", type=RATE,
              help="Bandwidth for estimates, in bytes per second (default: 12500000;"
              " with --to local: 200000000).")  # fmt: skip
@click.option("--work-dir", type=PATH, metavar="DIR",
              help="Make the ZVHD2 in this folder and keep it.")  # fmt: skip
@click.option("--keep-container", type=PATH, metavar="FILE",
              help="Make the ZVHD2 as this file and keep it; else it is packed while it"
              " is sent.")  # fmt: skip
@packing_options
@click.option("--bitmap", type=PATH, help="Use this bitmap, made elsewhere, as it is.")
@click.option("--layout", metavar="FILE|NAME",
              help="Layout of the bitmap, instead of zvhd2's; see imsprep bitmap.")  # fmt: skip
@request_options
@click.option(
    "--ignore",
    shell_complete=rules,
    multiple=True,
    callback=split_commas,
    metavar="ID",
    help="Leave these rules out of the check.",
)
@click.option("--guest", is_flag=True, help="Check what lies inside the file systems too.")
@click.option("--fail-on", type=click.Choice(choices(ImportOptions, "fail_on")),
              default=ImportOptions.fail_on, show_default=True,
              help="Findings from this severity on stop the import.")  # fmt: skip
@click.option("--strict", is_flag=True, help="The same as --fail-on warning.")
@transfer_options
@hole_options
@click.option("--sha256/--no-sha256", default=False,
              help="Also record the SHA-256 of the whole files, zeros included.")  # fmt: skip
@click.option("--boot", is_flag=True,
              help="Start the image in QEMU first; one that does not boot is not"
              " sent.")  # fmt: skip
@click.option("--cleanup", type=click.Choice(choices(ImportOptions, "cleanup")),
              default=ImportOptions.cleanup, show_default=True,
              help="When to remove the objects again.")  # fmt: skip
@click.option("--all-disks", is_flag=True,
              help="Of an OVA: only make a ZVHD2 of each disk, and a batch plan.")  # fmt: skip
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the request's exact body and the plan of the upload; send nothing.",
)
@service_options
@click.option(
    "--obs-endpoint", metavar="URL", help="Address of the object store, instead of the region's."
)
@pace_options
@profile_option
@output_options
def command(
    image: Path, as_json: bool, quiet: bool, dry_run: bool, all_disks: bool, **options: Any
) -> None:
    """Import a disk image: check it, send its data, start the import job and wait for it.

    IMAGE is RAW, ZVHD2, qcow2, VMDK, VHD, VDI, an OVA or what else QEMU reads. It is sent as a
    compressed ZVHD2, packed while it is sent; with --via raw as RAW, with its bitmap. An OVA
    itself proposes the required options, as far as its descriptor states them.

    After an interruption, run the same command again to continue; disk.imsprep.json, next to the
    image, records how far it came. With --to local:DIR no account and no server is needed: the
    service is the emulator (see `imsprep emulator --help`).
    """
    from imsprep import api

    asked = import_options(options, settings_here())
    _refuse_incomplete(image, asked, request=not all_disks)
    if all_disks:
        planned = _plan_all(image, asked, quiet)
        print_result(as_json, planned.as_dict(), str(planned))
        return
    with Watcher(quiet=quiet) as watcher, api.open_for_import(image, asked) as opened:
        asked = replace(asked, progress=watcher)
        watcher.begin_check()
        prepared = api.prepare_import(opened, asked, dry_run=dry_run)
        watcher.end_steps()
        if not quiet:
            say_report(prepared.report)
        if dry_run:
            _print_plan(prepared, options["api"], as_json)
            return
        with watcher.going_on(asked):
            telling = replace(asked, progress=_telling(prepared, watcher))
            done = api.ship_import(prepared, opened, telling)
    for upload in done.uploads:
        tell_how_it_went(upload)
    name = f"imported {show_words(prepared.request.name)}"
    text = f"{name}\n{_text(done, _expected(prepared))}"
    print_result(as_json, done.as_dict(), text, hang=9)


def _telling(prepared: Prepared, watcher: Watcher) -> Progress:
    """Return the watcher, with the estimate as soon as it is known that something is sent."""
    left = [prepared.comparison] if prepared.comparison is not None else []

    def show(event: Event) -> None:
        if event.step == UPLOAD and left:
            watcher.say(f"format   {left.pop().brief}")  # all is in the log, with -v
        watcher(event)

    return show


def _refuse_incomplete(image: Path, asked: ImportOptions, *, request: bool) -> None:
    """Raise UsageError with all options that are needed and that nothing gives."""
    from imsprep import api

    names, helps = ([] if asked.to else ["to"]), list[str]()
    if request:
        missing = api.missing_of(image, asked)
        names += missing.fields
        if missing.asked and missing.fields:
            helps.append(f"{show_path(image)} was read, and proposes none")
        if "min_disk" in missing.fields:
            helps.append(f"--min-disk is {missing.sizes}")
        if "os_version" in missing.fields:
            helps.append("imsprep os-versions lists the values of --os-version")
    if names:
        wanted = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise click.UsageError(f"Missing option {wanted}{'; '.join(['', *helps])}.")


def _plan_all(image: Path, asked: ImportOptions, quiet: bool) -> Planned:
    """Make a container of each disk in an OVA, and the plan that imports them."""
    from imsprep import api

    with Watcher(quiet=quiet) as watcher:
        done = api.plan_all_disks(image, replace(asked, progress=watcher))
    for warning in done.warnings:
        say(f"imsprep: warning: {warning}")
    return done


def _print_plan(prepared: Prepared, api: str, as_json: bool) -> None:
    """Print what would be done; the body stays as it is sent, however narrow a terminal is."""
    value = {"schema": "imsprep.import-plan/2", **prepared.as_dict()}
    print_result(as_json, value, _plan_text(prepared, api))
    if not as_json:
        click.echo(json.dumps(prepared.request.as_body(), indent=2, ensure_ascii=False))


def _plan_text(prepared: Prepared, api: str) -> str:
    lines = []
    if prepared.imported is not None:
        again = f"0 bytes: an earlier run made image {prepared.imported}, as asked for here"
        line = f"sent     {again}; if the service still has it, nothing is sent or asked. Else:"
        lines.append(wrapped(line, sys.stdout, hang=9))
    if prepared.comparison is not None:
        brief = f"format   {prepared.comparison.brief}"
        lines.append(wrapped(brief, sys.stdout, hang=len("format   ")))
        if prepared.comparison.others:
            lines.append(f"         not {prepared.comparison.others}")
        if prepared.comparison.reason.startswith("raw is not taken"):
            lines.append(wrapped(f"         {prepared.comparison.reason}", sys.stdout, hang=9))
    if prepared.boot_mode is not None:
        lines.append(_boot_mode_line(prepared.boot_mode))
    for artefact in prepared.artefacts:
        plan: object = artefact.plan
        if artefact.estimated:  # no byte of it is certain
            plan = (
                f"{rough_size(artefact.plan.size)} in {counted(len(artefact.plan.parts), 'part')}"
            )
        path, key = show_path(artefact.path), show_path(artefact.key)
        of = "of " if artefact.estimated and artefact.path == prepared.image else ""
        lines.append(f"{artefact.role} {of}{path} -> {key}: {plan}")
        lines += artefact.plan.lines(estimated=artefact.estimated)
    lines.append(f"POST /{api}/cloudimages/quickimport/action")
    return "\n".join(lines)


def _boot_mode_line(mode: BootMode) -> str:
    label = "firmware "  # as wide as the others
    return wrapped(f"{label}{mode}", sys.stdout, hang=len(label))


def _duration(seconds: float) -> str:
    """Write a time as `1.5 s` or `2 min 3 s`: one to be compared, so with tenths."""
    return f"{seconds:.1f} s" if seconds < 59.95 else format_seconds(seconds)


def _why_nothing_sent(done: Imported) -> str | None:
    """Return why this run sent nothing; None if it did."""
    if done.earlier:
        return "0 bytes: imported already by an earlier run"
    if not done.uploads:
        return "0 bytes: sent by an earlier run, whose job was waited for"
    if not all(upload.skipped for upload in done.uploads):
        return None
    several = len(done.uploads) > 1
    return f"0 bytes: the {'objects were' if several else 'object was'} in the bucket already"


def _expected(prepared: Prepared) -> str:
    """Return how much was expected to be sent, where that was an estimate."""
    if prepared.comparison is None or not prepared.estimated:
        return ""
    return f" (estimated: {rough_size(prepared.comparison.chosen.wire)})"


def _from_here(path: Path) -> Path:
    """Return a path without the working directory, if it begins with that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _text(done: Imported, expected: str) -> str:
    took = done.took
    time = f"took {_duration(took.seconds)}"
    if took.estimated_s is not None:
        time = f"estimated {_duration(took.estimated_s)}, took {_duration(took.compared_s)}"
        if took.compared_s < took.seconds and took.waited_s >= 0.5:
            time += f", and {_duration(took.waited_s)} for the job"
    zeros = f", {format_size(done.copied)} of zeros copied" if done.copied else ""
    disk = format_size(done.disk_size)
    expected = expected if took.estimated_s is not None else ""  # of a run that sent all of it
    sent = f"{format_size(done.sent)}{expected}{zeros}, of a disk of {disk}"
    sent = _why_nothing_sent(done) or sent
    lines = [
        f"image    {done.image_id}",
        f"job      {done.job_id or 'not known: the answer was lost; found by its name'}",
        f"sent     {sent}",
        f"time     {time}",
        *([_boot_mode_line(done.boot_mode)] if done.boot_mode else []),
        *([f"disk     {show_path(_from_here(done.disk))} (the emulator's copy)"]
          if done.disk else []),
        f"manifest {show_path(done.manifest)}",
    ]  # fmt: skip
    return "\n".join(lines)
