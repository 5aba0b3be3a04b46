"""`imsprep upload`: bring one file into a bucket; only its data travels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from imsprep.cli.common import SIZE, Progress, output_options, print_result
from imsprep.cli.scan_options import hole_options, scanning
from imsprep.cli.target_options import target_options
from imsprep.parts import DEFAULT_PART_SIZE, PartPlan
from imsprep.retry import Patience
from imsprep.sending import Sending, plan_file, send_file
from imsprep.targets import open_store, parse_target
from imsprep.transfer import Options, Uploaded
from imsprep.transfer import Progress as Note
from imsprep.units import exact_size, format_size


@click.command(epilog="Example: imsprep upload disk.raw --to local:./cloud")
@click.argument("file", type=click.Path(path_type=Path))
@target_options
@click.option("--key", help="Name of the object; the file's name if not given.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, help="Parts at the same time.")
@click.option("--part-size", type=SIZE, default=DEFAULT_PART_SIZE, help="Most bytes in a part.")
@click.option("--no-copy", is_flag=True, help="Send zeros too, copy nothing in the store.")
@hole_options
@click.option("--limit-rate", type=SIZE, help="Most bytes per second, as 10m.")
@click.option("--retry-for", type=float, default=900.0, help="Seconds to repeat a failing request.")
@click.option("--force", is_flag=True, help="Upload even if the same object is there.")
@click.option("--kms-key", help="Encrypt with this key of the service; '' means its default key.")
@click.option("--storage-class", type=click.Choice(["STANDARD"]), default="STANDARD",
              help="Quick import reads no other.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the plan of parts, send nothing.")
@output_options
def command(
    file: Path,
    to: str,
    region: str | None,
    endpoint: str | None,
    ca_bundle: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Upload FILE to a bucket: data is sent, zeros are copied inside the store.

    An upload that was interrupted continues when the same command runs again. Keys come from the
    environment or a file (see docs/upload.md), never from the command line.
    """
    target = parse_target(to, region=region, endpoint=endpoint)
    sending = _sending(**options)
    if options["dry_run"]:
        plan = plan_file(file, sending)
        print_result(as_json, plan.as_dict(), _plan_text(plan))
        return
    store = open_store(target, ca_bundle=ca_bundle, kms_key=options["kms_key"])
    key = target.key_for(options["key"] or file.name)
    done = send_file(file, store, target, key, sending=sending, watch=_watching(quiet))
    if done.restarted:
        click.echo(f"imsprep: started anew: {done.restarted}", err=True)
    print_result(as_json, {**asdict(done), "bucket": target.bucket}, _text(done, target.bucket))


def _sending(
    *,
    jobs: int,
    part_size: int,
    no_copy: bool,
    limit_rate: int | None,
    retry_for: float,
    force: bool,
    **others: Any,
) -> Sending:
    options = Options(
        jobs=jobs,
        patience=Patience(limit_s=retry_for),
        bytes_per_s=limit_rate,
        skip_same=not force,
    )
    return Sending(
        copy_zeros=not no_copy,
        part_size=part_size,
        options=options,
        scanning=scanning(others),
    )


def _watching(quiet: bool) -> Callable[[PartPlan], AbstractContextManager[Note]]:
    """Return what shows on stderr how far a plan is."""

    @contextmanager
    def watch(plan: PartPlan) -> Iterator[Note]:
        sent = f"{format_size(plan.sent)} to send"
        with Progress(f"upload ({sent})", plan.size, quiet=quiet) as bar:
            yield lambda *, sent=0, copied=0, reused=0: bar(sent + copied + reused)

    return watch


def _plan_text(plan: PartPlan) -> str:
    lines = [str(plan)]
    for part in plan.parts:
        kind = "zeros" if part.is_zero else "data"
        lines.append(f"{part.number:6} {part.offset:15} {part.length:12} {kind}")
    return "\n".join(lines)


def _text(done: Uploaded, bucket: str) -> str:
    if done.skipped:
        return f"{bucket}:{done.key} is there already, the same {exact_size(done.size)}"
    said = f"{format_size(done.sent)} sent, {format_size(done.copied)} of zeros copied"
    if done.reused:
        said += f", {format_size(done.reused)} there from before"
    return f"{bucket}:{done.key}: {exact_size(done.size)} in {done.parts} parts; {said}"
