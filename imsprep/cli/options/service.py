"""The options that say which image service is meant, and how long to wait for it."""

from __future__ import annotations

import click

from imsprep.cli.options.common import F, SecondsType, ca_bundle_option, with_options
from imsprep.cli.settings.configured import region_option, site_option

_OPTIONS = (
    site_option("Site whose service and limits apply."),
    region_option("Region, as eu-de or ap-southeast-3."),
    click.option("--endpoint", metavar="URL",
                 help="Address of the image service, instead of the site's."),
    click.option("--api", type=click.Choice(["v2", "v2.1"]), default="v2", show_default=True,
                 help="Version of the import request."),
    ca_bundle_option,
)  # fmt: skip
_PACE = (
    click.option("--timeout", type=SecondsType(0), default=7200.0,
                 help="Time to wait for the job, in all (default: 7200)."),
    click.option("--poll", type=SecondsType(0.01),
                 help="Seconds between polls (default: 10; 0.2 with the emulator)."),
)  # fmt: skip


def service_options(command: F) -> F:
    """Add the options that say which image service is meant."""
    return with_options(command, _OPTIONS)


def pace_options(command: F) -> F:
    """Add the options of waiting."""
    return with_options(command, _PACE)
