"""`imsprep wait`: wait for an import job that was started before."""

from __future__ import annotations

from typing import Any

import click

from imsprep.cli.options.common import output_options, print_result
from imsprep.cli.progress import if_interrupted
from imsprep.cli.service import connected, pace_of, pace_options, service_options


@click.command(
    epilog="Example: imsprep wait 8a12fc664fb4daa3014fb4e581380005 --site otc --region eu-de"
)
@click.argument("job_id", metavar="JOB")
@click.option("--to", metavar="local:DIR", help="The folder, for a job of the local emulator.")
@service_options
@pace_options
@output_options
def command(
    job_id: str,
    to: str | None,
    poll: float | None,
    timeout: float,
    as_json: bool,
    quiet: bool,
    **where: Any,
) -> None:
    """Wait until an import job has ended, and print its image.

    There is one limit, --timeout; a service that is busy or out of reach is asked again until then.
    """
    from imsprep.ims.wait import wait
    from imsprep.store.target import parse_target

    folder = parse_target(to).folder if to else None
    pace = pace_of(poll, timeout, quiet=quiet, to=to, where=where)
    how_to_go_on = f"job {job_id} goes on without us: {pace.how_to_go_on(job_id)}"
    with connected(folder, **where) as client, if_interrupted(lambda: [how_to_go_on]):
        status = wait(client.job, job_id, pace)
    print_result(as_json, status.as_dict(), f"{status.image_id or 'done'}")
