"""`imsprep emulator`: a strict local image service, for trying things and for CI."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import PATH
from imsprep.cli.screen import say
from imsprep.cloud.credentials import Credentials
from imsprep.cloud.sites import DEFAULT_SITE, SITES
from imsprep.errors import MissingExtraError
from imsprep.store.contract import ObjectStore

if TYPE_CHECKING:
    from imsprep.emulator.app import Settings


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
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0, the default: any free.")
@click.option(
    "--site",
    type=click.Choice(list(SITES)),
    default=DEFAULT_SITE,
    show_default=True,
    help="Whose documents are followed.",
)
@click.option("--layout", metavar="FILE|NAME", help="Layout of the bitmaps, instead of zvhd2's.")
@click.option("--any-os-version", is_flag=True, help="Take values that the site does not list.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Misbehave; an unknown name lists all. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr.")
def command(
    data: Path,
    port: int,
    site: str,
    faults: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **more: Any,
) -> None:
    """Serve the quick import API on 127.0.0.1 over a folder of objects, until it is interrupted.

    Prints its address. It accepts the key pair of the environment (HUAWEICLOUD_SDK_AK and _SK, or
    the HW_ and OS_ names, or the credentials file), or shows one of its own making on stderr.
    """
    try:
        from imsprep.bitmap.layout_json import load_layout
        from imsprep.emulator.faults import parse
        from imsprep.emulator.server import serving
        from imsprep.service import emulator_key, local_settings
    except ImportError as error:
        raise MissingExtraError("the emulator needs: pip install 'imsprep[emulator]'") from error

    misbehaviour = parse(list(faults))
    key, made_here = emulator_key()
    settings = _with_credentials(local_settings(data, key.access_key, key.secret_key, site), key)
    settings = replace(settings, faults=misbehaviour, any_os_version=more["any_os_version"])
    if more["layout"]:
        settings = replace(settings, layout=load_layout(more["layout"]))
    if more["s3"]:
        settings = replace(settings, open_bucket=_buckets_at(more["s3"], more["s3_region"], key))
    with serving(settings, port) as (_, url):
        if not quiet:
            if made_here:  # it opens nothing but this emulator
                say(f"export HUAWEICLOUD_SDK_AK={key.access_key}")
                say(f"export HUAWEICLOUD_SDK_SK={key.secret_key}")
            say("serving; end with Ctrl-C")
        click.echo(json.dumps({"url": url}) if as_json else url)
        threading.Event().wait()


def _with_credentials(settings: Settings, key: Credentials) -> Settings:
    """Return settings that take the token and the project of the credentials, as clients send."""
    project_id = key.project_id or settings.project_id
    return replace(settings, security_token=key.security_token, project_id=project_id)


def _buckets_at(url: str, region: str, key: Credentials) -> Callable[[str], ObjectStore]:
    """Return what opens a bucket of an S3 endpoint with the emulator's own key pair."""
    from imsprep.store.obs import open_obs

    return lambda name: open_obs(name, endpoint=url, region=region, credentials=key)
