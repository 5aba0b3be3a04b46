"""`imsprep upload`: bring one file into a bucket; only its data travels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.help.completion import images
from imsprep.cli.options.common import PATH, output_options, print_result
from imsprep.cli.options.scan import hole_options
from imsprep.cli.options.target import bucket_from, place_of, target_options
from imsprep.cli.options.transfer import transfer_options
from imsprep.cli.progress.upload import AGAIN, if_interrupted, tell_how_it_went
from imsprep.cli.progress.watcher import Watcher
from imsprep.cli.screen import say
from imsprep.cli.settings.configured import ConfiguredCommand, profile_option
from imsprep.errors import show_path
from imsprep.units import counted, exact_size, format_size

if TYPE_CHECKING:
    from imsprep.upload.values import Uploaded


@click.command(
    cls=ConfiguredCommand,
    epilog="Example: imsprep upload disk.raw --to local:./cloud",
    first=("to", "region", "key", "dry_run"),
)
@click.argument("file", shell_complete=images, type=PATH)
@target_options
@click.option("--key", help="Name of the object (default: the file's name).")
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

    asked = _asked(options)
    if options["dry_run"]:
        if not options["replace"]:
            where = {"key": options["key"], **place_of(options)}
            why = api.ask_bucket(file, options["to"], **where)
            if why and not quiet:
                say(f"the bucket was not checked: {why}")
        plan = api.plan_upload(file, **asked)
        value = {"schema": "imsprep.upload-plan/1", **plan.as_dict()}
        print_result(as_json, value, "\n".join([str(plan), *plan.lines()]))
        return
    store = bucket_from(options, options["kms_key"])
    with Watcher(quiet=quiet) as watcher, if_interrupted(lambda: [AGAIN]):
        done = api.upload(file, store, key=options["key"], progress=watcher, **asked)
    tell_how_it_went(done)
    bucket = store.target.bucket
    print_result(as_json, {**asdict(done), "bucket": bucket}, _text(done, bucket))


def _asked(options: dict[str, object]) -> dict[str, Any]:
    """Return how to upload, by the names of `UploadOptions`."""
    same = ("jobs", "part_size", "replace", "holes", "keep_cache", "force_share", "force")
    return {
        **{name: options[name] for name in same},
        "copy_zeros": not options["no_copy"],
        "bytes_per_s": options["limit_rate"],
        "retry_for_s": options["retry_for"],
    }


def _text(done: Uploaded, bucket: str) -> str:
    if done.skipped:
        return f"{bucket}:{show_path(done.key)} is there already, the same {exact_size(done.size)}"
    said = f"{format_size(done.sent)} sent, {format_size(done.copied)} of zeros copied"
    if done.reused:
        said += f", {format_size(done.reused)} sent before"
    key, parts = show_path(done.key), counted(done.parts, "part")
    return f"{bucket}:{key}: {exact_size(done.size)} in {parts}; {said}"
