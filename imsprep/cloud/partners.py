"""Clouds that a user describes: partners that serve the same API under host names of their own.

A description says where the services are, which regions there are, and in what the limits differ
from those of a site that it is `like`. Once added it is a site as any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imsprep.cloud.endpoints import CLOUDS, Cloud, cloud_of_region
from imsprep.cloud.sites import MAX_MIN_DISK, SITES, OsVersions, Site
from imsprep.errors import UsageError
from imsprep.options import DEFAULT_SITE

# Keys that hold sizes in GiB, and the members of Site that they set.
SIZES = {
    "system-min-disk-linux": "system_min_disk_linux",
    "system-min-disk-windows": "system_min_disk_windows",
    "data-min-disk-linux": "data_min_disk_linux",
    "data-min-disk-windows": "data_min_disk_windows",
    "smallest-system-disk": "smallest_system_disk",
}
KEYS = ("like", "title", "regions", "ims", "obs", "iam", "job-query", "os-versions", *SIZES)
_URL = re.compile(r"https?://[a-z0-9.-]+(:\d+)?/?")

OWN: set[str] = set()  # names that were added here, and may be described again


def add(name: str, table: Mapping[str, object], origin: str) -> None:
    """Add a cloud as the site `name`; a later description of it takes the place of an earlier one.

    Raises UsageError for a key or a value that cannot be, and for a name or a region that another
    site has; `origin` is the file that says so.
    """
    where = f"{origin}: clouds.{name}"
    if name in SITES and name not in OWN:
        raise UsageError(f"{where}: {name} is a site of imsprep's own; choose another name")
    site, cloud = _described(name, table, where)
    CLOUDS[:] = [known for known in CLOUDS if name not in known.sites]
    for region in sorted(cloud.regions):
        if (other := cloud_of_region(region)) is not None:
            raise UsageError(f"{where}: {region} is a region of {other.sites[0]} already")
    CLOUDS.append(cloud)
    SITES[name] = site
    OWN.add(name)


def _described(name: str, table: object, where: str) -> tuple[Site, Cloud]:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} must be a table, got {table!r}")
    for key in table:
        if key not in KEYS:
            raise UsageError(f"{where}: unknown key {key!r}; there are: {', '.join(KEYS)}")
    like = table.get("like", DEFAULT_SITE)
    if like not in SITES or like in OWN:
        raise UsageError(f"{where}: like must be a site that imsprep knows, got {like!r}")
    query = table.get("job-query", "progress")
    if query not in ("progress", "jobs"):
        raise UsageError(f"{where}: job-query must be progress or jobs, got {query!r}")
    ims, obs, iam = (_address(table, service, where) for service in ("ims", "obs", "iam"))
    regions = frozenset(_texts(table, "regions", where))
    return _site(name, table, SITES[like], where), Cloud((name,), regions, ims, obs, iam, query)


def _site(name: str, table: Mapping[str, object], like: Site, where: str) -> Site:
    sizes = {member: _size(table, key, where) for key, member in SIZES.items() if key in table}
    versions = like.own_os_versions
    if "os-versions" in table:
        values = _texts(table, "os-versions", where)
        windows = tuple(value for value in values if value.startswith("Windows"))
        others = tuple(value for value in values if value not in windows)
        versions = OsVersions(where, "", {"Windows": windows, "Other": others})
    own: dict[str, Any] = sizes
    return replace(
        like,
        key=name,
        title=str(table.get("title", name)),
        source=where,
        own_os_versions=versions,
        **own,
    )


def _size(table: Mapping[str, object], key: str, where: str) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_MIN_DISK:
        raise UsageError(f"{where}: {key} must be 1 to {MAX_MIN_DISK}, in GB, got {value!r}")
    return value


def _address(table: Mapping[str, object], service: str, where: str) -> str:
    value = table.get(service)
    if not isinstance(value, str) or not _URL.fullmatch(value.replace("{region}", "region")):
        raise UsageError(
            f"{where}: {service} must be an address as https://{service}.{{region}}.example.com,"
            f" got {value!r}"
        )
    return value.rstrip("/")


def _texts(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise UsageError(f"{where}: {key} must be a list of strings, got {value!r}")
    return tuple(value)
