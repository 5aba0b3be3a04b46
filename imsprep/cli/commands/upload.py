"""`imsprep upload`: bring one file into a bucket; only its data travels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.configured import ConfiguredCommand, profile_option
from imsprep.cli.options.common import PATH, output_options, print_result
from imsprep.cli.options.scan import hole_options
from imsprep.cli.options.target import target_from, target_options
from imsprep.cli.options.transfer import transfer_options
from imsprep.cli.progress import AGAIN, if_interrupted, tell_how_it_went
from imsprep.cli.watcher import Watcher
from imsprep.errors import TransferError
from imsprep.store.target import Target, open_store
from imsprep.units import counted, exact_size, format_size

if TYPE_CHECKING:
    from imsprep.upload.transfer import Uploaded


@click.command(cls=ConfiguredCommand, epilog="Example: imsprep upload disk.raw --to local:./cloud")
@click.argument("file", type=PATH)
@target_options
@click.option("--key", help="Name of the object; the file's name if not given.")
@transfer_options
@hole_options
@click.option("--force", is_flag=True, help="Upload even if the same object is there.")
@click.option("--dry-run", is_flag=True, help="Print the plan of parts, send nothing.")
@profile_option
@output_options
def command(file: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Upload FILE to a bucket: data is sent, zeros are copied inside the store.

    An upload that was interrupted continues when the same command runs again. Keys come from the
    environment or a file (see docs/upload.md), never from the command line.
    """
    from imsprep import api

    target, asked = target_from(options), _asked(options)
    if options["dry_run"]:
        if not options["replace"]:
            _check_free(file, target.key_for(options["key"] or file.name), target, options, quiet)
        plan = api.plan_upload(file, **asked)
        value = {"schema": "imsprep.upload-plan/1", **plan.as_dict()}
        print_result(as_json, value, "\n".join([str(plan), *plan.lines()]))
        return
    store = api.open_store(
        options["to"],
        region=options["region"],
        obs_endpoint=options["endpoint"],
        ca_bundle=options["ca_bundle"],
        kms_key=options["kms_key"],
    )
    with Watcher(quiet=quiet) as watcher, if_interrupted(lambda: [AGAIN]):
        done = api.upload(file, store, key=options["key"], progress=watcher, **asked)
    tell_how_it_went(done)
    print_result(as_json, {**asdict(done), "bucket": target.bucket}, _text(done, target.bucket))


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """Return how to upload, by the names of `UploadOptions`."""
    same = ("jobs", "part_size", "replace", "holes", "keep_cache", "force_share", "force")
    return {
        **{name: options[name] for name in same},
        "copy_zeros": not options["no_copy"],
        "bytes_per_s": options["limit_rate"],
        "retry_for_s": options["retry_for"],
    }


def _check_free(file: Path, key: str, target: Target, options: dict[str, Any], quiet: bool) -> None:
    """Ask the bucket of the key, as far as a dry run may: without credentials it does without."""
    from imsprep.cloud.credentials import NoCredentialsError
    from imsprep.store.ownership import check_free, origin_of

    why = "its region is not given" if target.folder is None and target.region is None else ""
    if not why:
        try:
            store = open_store(target, ca_bundle=options["ca_bundle"])
            check_free(store.head(key), origin_of(file))
        except NoCredentialsError:
            why = "there are no credentials"
        except TransferError as error:
            why = str(error)
    if why and not quiet:
        click.echo(f"the bucket is not asked: {why}", err=True)


def _text(done: Uploaded, bucket: str) -> str:
    if done.skipped:
        return f"{bucket}:{done.key} is there already, the same {exact_size(done.size)}"
    said = f"{format_size(done.sent)} sent, {format_size(done.copied)} of zeros copied"
    if done.reused:
        said += f", {format_size(done.reused)} there from before"
    return f"{bucket}:{done.key}: {exact_size(done.size)} in {counted(done.parts, 'part')}; {said}"
