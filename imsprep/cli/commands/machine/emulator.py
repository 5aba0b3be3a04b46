"""`imsprep emulator`: a strict local image service, for trying things and for CI."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from imsprep.cli.help.completion import sites
from imsprep.cli.options.common import PATH, CountType, schema_name
from imsprep.cli.screen import say
from imsprep.cloud.sites import SITES
from imsprep.options import DEFAULT_SITE


@click.command(epilog="Example: imsprep emulator --data ./cloud --port 8080")
@click.option(
    "--data",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Folder of buckets: DIR/images/disk.raw is images:disk.raw.",
)
@click.option("--s3", metavar="URL", help="Read the objects from this store, not from DIR.")
@click.option("--s3-region", default="us-east-1", show_default=True, help="Region of that store.")
@click.option(
    "--port",
    type=CountType(0, 65535),
    default=0,
    help="Port to listen on (default: 0, any free port).",
)
@click.option(
    "--site",
    shell_complete=sites,
    type=click.Choice(list(SITES)),
    default=DEFAULT_SITE,
    show_default=True,
    help="Site whose documents the service follows.",
)
@click.option("--layout", metavar="FILE|NAME", help="Layout of the bitmaps, instead of zvhd2's.")
@click.option(
    "--any-os-version",
    is_flag=True,
    help="Accept a well-formed os_version that the site does not list.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Inject this fault; an unknown name lists all. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on stderr.")
def command(
    data: Path, faults: tuple[str, ...], as_json: bool, quiet: bool, **options: Any
) -> None:
    """Serve the quick import API on 127.0.0.1 over a folder of objects, until it is interrupted.

    Prints its address. It accepts the key pair of the environment (HUAWEICLOUD_SDK_AK and _SK, or
    the HW_ and OS_ names, or the credentials file), or makes one and prints it on stderr.
    """
    from imsprep import api

    with api.serve_emulator(data, faults=faults, **options) as served:
        if not quiet:
            if served.key_made_here:  # it opens nothing but this emulator
                say(f"export HUAWEICLOUD_SDK_AK={served.key.access_key}")
                say(f"export HUAWEICLOUD_SDK_SK={served.key.secret_key}")
            say("serving; end with Ctrl-C")
        value = {"schema": schema_name(), "url": served.url}
        click.echo(json.dumps(value) if as_json else served.url)  # one line: the end comes later
        # Now and then, because a signal that another thread received does not wake this one.
        while True:
            time.sleep(1)
