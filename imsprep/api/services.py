"""The image service itself: what it accepts, and the emulator that stands in for one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.errors import MissingExtraError
from imsprep.keywords import with_keywords
from imsprep.options import EmulatorOptions, OsVersionsOptions, ServiceOptions, StrPath
from imsprep.system.paths import path_of

if TYPE_CHECKING:
    from imsprep.cloud.credentials import Credentials
    from imsprep.cloud.sites import OsVersions
    from imsprep.store.contract import ObjectStore


@dataclasses.dataclass(frozen=True)
class Emulator:
    """An emulator that serves; made by `serve_emulator`."""

    url: str
    key: Credentials = dataclasses.field(repr=False)  # that it accepts
    key_made_here: bool  # for this emulator, as there are no credentials


@with_keywords(OsVersionsOptions)
def os_versions(site: str, options: OsVersionsOptions) -> list[OsVersions]:
    """Return the values of os_version that are published for a site, or a region's own.

    Raises UsageError for an unknown site; if a region is asked also ServiceError, TransferError.
    """
    from imsprep.cloud.sites import OsVersions
    from imsprep.pipeline.from_options import site_of
    from imsprep.service import connected

    if not options.online:
        return list(site_of(site).all_lists)
    where = ServiceOptions(
        site=site_of(site).key,
        region=options.region,
        endpoint=options.endpoint,
        api=options.api,
        ca_bundle=options.ca_bundle,
    )
    with connected(None, where) as client:
        values = tuple(client.os_versions())
    return [OsVersions(f"{options.region or 'the region'}, asked now", "", {"": values})]


@with_keywords(EmulatorOptions)
def serve_emulator(
    folder: StrPath, options: EmulatorOptions
) -> contextlib.AbstractContextManager[Emulator]:
    """Serve the quick import API on 127.0.0.1 over a folder of buckets, while the block runs.

    It accepts the credentials of the environment, or a key that it makes up. Raises UsageError for
    a port that is taken or an unknown fault, MissingExtraError without imsprep[emulator].
    """
    return _serving(path_of(folder), options)


@contextlib.contextmanager
def _serving(folder: Path, options: EmulatorOptions) -> Iterator[Emulator]:
    try:
        from imsprep.bitmap.layout_json import load_layout
        from imsprep.emulator.faults import parse
        from imsprep.emulator.server import serving
        from imsprep.service import emulator_key, local_settings
    except ImportError as error:
        raise MissingExtraError("the emulator needs Werkzeug", extra="emulator") from error

    faults = parse(list(options.faults))
    key, made_here = emulator_key()
    settings = local_settings(folder, key.access_key, key.secret_key, options.site)
    settings = dataclasses.replace(
        settings,
        faults=faults,
        any_os_version=options.any_os_version,
        security_token=key.security_token,  # which clients send with the key
        project_id=key.project_id or settings.project_id,
        layout=load_layout(options.layout) if options.layout else settings.layout,
        open_bucket=_buckets_at(options, key) if options.s3 else settings.open_bucket,
    )
    with serving(settings, options.port) as (_, url):
        yield Emulator(url, key, made_here)


def _buckets_at(options: EmulatorOptions, key: Credentials) -> Callable[[str], ObjectStore]:
    """Return what opens a bucket of an S3 endpoint with the emulator's own key pair."""
    from imsprep.store.obs import open_obs

    return lambda name: open_obs(
        name, endpoint=options.s3 or "", region=options.s3_region, credentials=key
    )


def emulated_disk(folder: StrPath, image_id: str) -> Path:
    """Return the disk that the emulator made of an import into `local:FOLDER`."""
    from imsprep.service import EMULATOR_FOLDER

    return path_of(folder) / EMULATOR_FOLDER / "disks" / f"{image_id}.raw"
