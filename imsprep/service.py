"""Reach an image service: a site's, or the emulator that is started over a folder of `local:`."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from imsprep.cloud.credentials import Credentials, NoCredentialsError, find_here
from imsprep.cloud.endpoints import Endpoints, cloud_of, endpoints_for, site_for
from imsprep.cloud.sites import SITES
from imsprep.errors import MissingExtraError, UsageError, show_path
from imsprep.ims.client import ApiVersion, ImsClient
from imsprep.options import DEFAULT_SITE
from imsprep.store.directory import DirectoryStore

if TYPE_CHECKING:
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.emulator.app import Settings
    from imsprep.ims.region import RegionService
    from imsprep.options import ServiceOptions

# Kept in the folder of `local:`; no bucket can have this name.
EMULATOR_FOLDER = ".emulator"


@contextlib.contextmanager
def connected(
    folder: Path | None, options: ServiceOptions, layout: BitmapLayout | None = None
) -> Iterator[ImsClient]:
    """Yield a client: of the emulator over `folder`, or of the site if that is None.

    An endpoint that the options name is taken in any case. `layout` is that of the bitmaps, which
    an emulator has to know. Raises UsageError, MissingExtraError.
    """
    api = cast(ApiVersion, options.api)
    if folder is None or options.endpoint is not None:
        ca_file = str(options.ca_bundle) if options.ca_bundle else None
        site = site_for(options.site, options.region, chosen=options.site != DEFAULT_SITE)
        found = endpoints_for(site, options.region, options.endpoint)
        yield ImsClient(found, find_here(), api=api, ca_file=ca_file)
        return
    server = _serving()
    # Made for this run and known to no one else: the emulator is reached over HTTP like any
    # service.
    key = Credentials(f"LOCAL{secrets.token_hex(8)}", secrets.token_hex(32))
    settings = local_settings(folder, key.access_key, key.secret_key, options.site)
    settings = replace(settings, layout=layout)
    query = cloud_of(options.site).job_query
    with server.serving(settings) as (_, url):
        yield ImsClient(Endpoints(url, url, "local", query), key, api=api)


@contextlib.contextmanager
def asked(folder: Path | None, options: ServiceOptions) -> Iterator[RegionService]:
    """Yield what is asked before an import is begun: a site's service, or the images of a folder.

    A folder's are read of the emulator's files: nothing is started or made. Otherwise as
    `connected`.
    """
    if folder is None or options.endpoint is not None:
        with connected(folder, options) as client:
            yield client
        return
    from imsprep.emulator.kept import KeptImages

    yield KeptImages(folder / EMULATOR_FOLDER)


def local_settings(folder: Path, access_key: str, secret_key: str, site: str) -> Settings:
    """Return an emulator's settings over a folder of buckets, where it also keeps its state."""
    from imsprep.emulator.app import Settings

    def open_bucket(name: str) -> DirectoryStore | None:
        return DirectoryStore(folder / name) if (folder / name).is_dir() else None

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot use {show_path(folder)}: {error.strerror}") from error
    # The published lists age and differ by region: a local import takes any value of that form.
    return Settings(
        access_key, secret_key, open_bucket, folder / EMULATOR_FOLDER, site=SITES[site],
        any_os_version=True,
    )  # fmt: skip


def emulator_key() -> tuple[Credentials, bool]:
    """Return the credentials that an emulator is to accept, and whether they were made up here."""
    try:
        return find_here(), False
    except NoCredentialsError:
        return Credentials("EMULATOR", secrets.token_hex(16)), True


def _serving() -> Any:
    try:
        from imsprep.emulator import server
    except ImportError as error:
        raise MissingExtraError("local: needs the emulator", extra="emulator") from error
    return server
