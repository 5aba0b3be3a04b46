"""`imsprep wait`: wait for an import job that was started before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import output_options, print_result
from imsprep.cli.options.service import pace_options, service_options
from imsprep.cli.progress.watcher import Watcher
from imsprep.errors import UsageError

if TYPE_CHECKING:
    from imsprep.ims.job import JobStatus
    from imsprep.options import WaitOptions

EPILOG = """\
\b
Examples:
  imsprep wait 8a12fc664fb4daa3014fb4e581380005 --site otc --region eu-de
  imsprep wait 8a12fc664fb4daa3014fb4e581380005 --to local:./cloud
"""


@click.command(epilog=EPILOG)
@click.argument("job_id", metavar="JOB")
@click.option("--to", metavar="local:DIR", help="Folder of the local service, for one of its jobs.")
@service_options
@pace_options
@output_options
def command(job_id: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Wait until an import job has ended, and print its image.

    There is one limit, --timeout; a service that is busy or out of reach is asked again until then.
    """
    from imsprep.options import WaitOptions

    timeout, poll = options.pop("timeout"), options.pop("poll")
    with Watcher(quiet=quiet) as watcher:
        asked = WaitOptions(timeout_s=timeout, poll_s=poll, progress=watcher, **options)
        watcher.jobs.append(job_id)
        with watcher.going_on(asked):
            status = _status(job_id, asked)
    print_result(as_json, status.as_dict(), f"{status.image_id or 'done'}")


def _status(job_id: str, asked: WaitOptions) -> JobStatus:
    """Wait; what lacks a region may be a job of the local service, which has none."""
    from imsprep import api

    try:
        return api.wait_for_job(job_id, asked)
    except UsageError as error:
        if asked.to is None and "region" in error.remedies:
            helps = "--region; of a job of the local service: --to local:DIR"
            raise UsageError(f"{error} ({helps})", remedies=()) from error
        raise
