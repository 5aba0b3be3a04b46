"""How the commands reach an image service: a site's, or the emulator over a folder."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.bars import JobBar
from imsprep.cli.configured import site_option
from imsprep.cli.options.common import F, SecondsType, ca_bundle_option, with_options
from imsprep.cli.screen import say
from imsprep.cloud.sites import SITES
from imsprep.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.emulator.app import Settings
    from imsprep.ims.client import ImsClient
    from imsprep.ims.job import JobStatus
    from imsprep.ims.wait import Pace
    from imsprep.pipeline.asking import AskService
    from imsprep.store.target import Target

# Kept in the folder of `local:`; no bucket can have this name.
EMULATOR_FOLDER = ".emulator"
LOCAL_INTERVAL_S = 0.2

_OPTIONS = (
    site_option("Whose service and limits."),
    click.option("--region", envvar=["HW_REGION_NAME", "OS_REGION_NAME"], show_envvar=True,
                 help="Such as eu-de or ap-southeast-3."),
    click.option("--endpoint", metavar="URL", help="The image service, instead of the site's."),
    click.option("--api", type=click.Choice(["v2", "v2.1"]), default="v2", show_default=True,
                 help="Version of the import request."),
    ca_bundle_option,
)  # fmt: skip
_PACE = (
    click.option("--timeout", type=SecondsType(min=0), default=7200.0, show_default=True,
                 metavar="S", help="Seconds to wait for the job, in all."),
    click.option("--poll", type=SecondsType(min=0.01), metavar="S",
                 help="Seconds between two questions: 10, or 0.2 where the service is the"
                 " emulator."),
)  # fmt: skip
# What `connected` takes of _OPTIONS.
WHERE = ("site", "region", "endpoint", "api", "ca_bundle")


def service_options(command: F) -> F:
    """Add the options that say which image service is meant."""
    return with_options(command, _OPTIONS)


def pace_options(command: F) -> F:
    """Add the options of waiting."""
    return with_options(command, _PACE)


@contextlib.contextmanager
def connected(
    folder: Path | None,
    *,
    site: str,
    region: str | None,
    endpoint: str | None,
    api: Any,
    ca_bundle: Path | None = None,
    layout: BitmapLayout | None = None,
) -> Iterator[ImsClient]:
    """Yield a client: of the emulator over `folder`, or of the site if that is None.

    `layout` is that of the bitmaps, which an emulator has to be told.
    """
    from imsprep.cloud.credentials import find_here
    from imsprep.cloud.endpoints import Endpoints, endpoints_for
    from imsprep.ims.client import ImsClient

    if folder is None or endpoint is not None:
        ca_file = str(ca_bundle) if ca_bundle else None
        found = endpoints_for(site, region, endpoint)
        yield ImsClient(found, find_here(), api=api, ca_file=ca_file)
        return
    from imsprep.cloud.credentials import Credentials

    server = _serving()
    # Made for this run and known to nobody: the emulator is reached over HTTP like any service.
    key = Credentials(f"LOCAL{secrets.token_hex(8)}", secrets.token_hex(32))
    settings = local_settings(folder, key.access_key, key.secret_key, site)
    settings = replace(settings, layout=layout)
    with server.serving(settings) as (_, url):
        yield ImsClient(Endpoints(url, url, "local", _job_query(site)), key, api=api)


def local_settings(folder: Path, access_key: str, secret_key: str, site: str) -> Settings:
    """Return an emulator's settings over a folder of buckets, where it also keeps its state."""
    from imsprep.emulator.app import Settings
    from imsprep.store.directory import DirectoryStore

    def open_bucket(name: str) -> DirectoryStore | None:
        return DirectoryStore(folder / name) if (folder / name).is_dir() else None

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot use {folder}: {error.strerror}") from error
    return Settings(access_key, secret_key, open_bucket, folder / EMULATOR_FOLDER, site=SITES[site])


def pace_of(
    poll: float | None, timeout: float, *, quiet: bool, to: str | None, where: dict[str, Any]
) -> Pace:
    """Return how to wait, telling the news on stderr unless quiet.

    `to` and `where` are the options that lead to the service, for whoever waits again.
    """
    from imsprep.ims.wait import INTERVAL_S, Pace

    news = _News(quiet)
    local = to is not None and to.startswith("local:")
    again = {"to": to if local else None, **where}
    options = shlex.join(
        word
        for name, value in again.items()
        if value
        for word in (f"--{name.replace('_', '-')}", str(value))
    )
    return Pace(
        time.sleep,
        time.monotonic,
        timeout,
        poll or (LOCAL_INTERVAL_S if local else INTERVAL_S),
        options,
        on_status=news.status,
        on_trouble=news.trouble,
    )


def asking_service(
    options: Mapping[str, Any],
    target: Target,
    pace: Pace,
    *,
    dry_run: bool = False,
    told: Callable[[str], object] = lambda news: None,
) -> AskService | None:
    """Return how the service is asked before anything is sent; the own emulator needs not be."""
    from imsprep.pipeline.asking import AskService

    if target.folder is not None and options["endpoint"] is None:
        return None
    connect = partial(connected, target.folder, **{name: options[name] for name in WHERE})
    return AskService(connect, pace, dry_run=dry_run, told=told)


class _News:
    """A bar for the job, or a line on stderr whenever something changed."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._last = quiet, ""
        self._bar = JobBar(quiet=quiet)

    def status(self, status: JobStatus) -> None:
        """Show a job's status; where there is no bar, only if it is another one than before."""
        self._bar.status(status.job_id, status.status, status.progress, ended=status.finished)
        if not self._bar.shows:
            share = f" {status.progress:.0%}" if status.progress is not None else ""
            self._say(f"job {status.job_id}: {status.status}{share}")

    def trouble(self, text: str) -> None:
        """Say what went wrong, and what is done about it."""
        self._say(text)

    def _say(self, text: str) -> None:
        if text != self._last and not self._quiet:
            say(text)
        self._last = text


def _job_query(site: str) -> Any:
    from imsprep.cloud.endpoints import endpoints_for

    return endpoints_for(site, "local").job_query


def _serving() -> Any:
    try:
        from imsprep.emulator import server
    except ImportError as error:
        raise MissingExtraError(
            "local: needs the emulator: pip install 'imsprep[emulator]'"
        ) from error
    return server


def emulator_key() -> tuple[str, str, bool]:
    """Return the key pair that an emulator is to accept, and whether it was made up here."""
    from imsprep.cloud.credentials import NoCredentialsError, find_here

    try:
        found = find_here()
    except NoCredentialsError:
        return "EMULATOR", secrets.token_hex(16), True
    return found.access_key, found.secret_key, False
