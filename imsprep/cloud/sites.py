"""Sites: what each Huawei Cloud site documents as its limits, as dated tables.

A rule asks the table, never the site's name. Where a site's pages are silent, the value comes
from its sister and `inferred` says so. Two tables that differ are both right for their readers:
what breaks the chosen site's table is an error; what only breaks another table, a warning.

Sources: "Importing an Image File Quickly", "Image Attributes" and "Values of Related Parameters"
in the API reference of each site, "Image File Properties" in its user guide.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Any

from imsprep.units import GIB

MAX_MIN_DISK = 1024  # GiB, every site and variant

# Fields of the request that not every site documents.
OPTIONAL_FIELDS = ("license_type", "hw_firmware_type", "enterprise_project_id")


@dataclass(frozen=True)
class OsVersions:
    """The accepted `os_version` values, by platform, with where and when they were published."""

    source: str
    date: str  # ISO
    by_platform: dict[str, tuple[str, ...]]
    note: str | None = None
    # Systems of which the page lists only the version: how the API spells them is not documented.
    bare: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def all(self) -> tuple[str, ...]:
        """Every value, in the order of the page."""
        return tuple(value for values in self.by_platform.values() for value in values)


@dataclass(frozen=True)
class Site:
    """One site's limits; sizes in GiB."""

    key: str
    title: str
    source: str
    date: str  # ISO, of the page that `source` names
    system_min_disk_linux: int
    system_min_disk_windows: int
    data_min_disk_linux: int
    data_min_disk_windows: int
    smallest_system_disk: int  # "Image File Properties": the size of the disk in the file
    fields: frozenset[str]  # of OPTIONAL_FIELDS, those that the site documents
    chinese_names: bool  # Chinese characters are documented as allowed in names and tags
    dot_in_tag_value: bool
    windows_stopped: bool  # the page says that Windows images are no longer imported
    os_versions_file: str
    newer_lists: tuple[str, ...] = ()  # what its user guide says external files may hold
    inferred: tuple[str, ...] = ()  # members that no page of this site states
    own_os_versions: OsVersions | None = None  # of a cloud that a user describes
    client_fields: frozenset[str] = frozenset()  # those that only its vendor's own clients have

    def takes(self, name: str) -> bool:
        """Return whether a page or the vendor's own clients document an optional field."""
        return name in self.fields or name in self.client_fields

    @property
    def os_versions(self) -> OsVersions:
        """The site's list of `os_version` values."""
        return self.own_os_versions or _load(self.os_versions_file)

    @property
    def all_lists(self) -> tuple[OsVersions, ...]:
        """The dated lists that speak of the site: that of its API first, then newer ones."""
        return (self.os_versions, *map(_load, self.newer_lists))

    @property
    def listed(self) -> tuple[str, ...]:
        """Every `os_version` of all these lists, each once."""
        return tuple(dict.fromkeys(value for one in self.all_lists for value in one.all))

    @property
    def by_platform(self) -> dict[str, tuple[str, ...]]:
        """The values of all these lists by platform."""
        found: dict[str, dict[str, None]] = {}
        for one in self.all_lists:
            for platform, values in one.by_platform.items():
                found.setdefault(platform, {}).update(dict.fromkeys(values))
        return {platform: tuple(values) for platform, values in found.items()}

    def min_disk_from(self, *, data_disk: bool, windows: bool) -> int:
        """Return the smallest `min_disk` that the site documents, in GiB."""
        if data_disk:
            return self.data_min_disk_windows if windows else self.data_min_disk_linux
        return self.system_min_disk_windows if windows else self.system_min_disk_linux

    def min_disk_for(self, size: int, *, data_disk: bool, windows: bool) -> int:
        """Return the smallest `min_disk`, in GiB, that every page allows for `size` bytes.

        The pages differ: the API reference wants more than the disk's size, the console not less;
        Huawei Cloud at least 10 GB (Windows 20), other sites less. At most `MAX_MIN_DISK`.
        """
        least = self.min_disk_from(data_disk=data_disk, windows=windows)
        return min(max(least, huawei_min_disk(windows=windows), size // GIB + 1), MAX_MIN_DISK)


def huawei_min_disk(*, windows: bool) -> int:
    """Return what Huawei Cloud's page (2024-08-09) wants at least, in GiB."""
    return 20 if windows else 10


@functools.cache
def _load(name: str) -> OsVersions:
    from importlib import resources  # when it is needed: most commands ask for no list

    text = resources.files("imsprep").joinpath("data", name).read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text)
    lists = {platform: tuple(values) for platform, values in value["os_version"].items()}
    bare = {platform: tuple(values) for platform, values in value.get("bare", {}).items()}
    return OsVersions(value["source"], value["date"], lists, value.get("note"), bare)


# Huawei Cloud's SDK 3.1.219 has it in the body of this request, its Terraform provider
# (quickimport_system_image, 2026-08-21) sends it, and IMG.0141 speaks of its values.
_CLIENT_FIELDS = frozenset({"hw_firmware_type"})

_HUAWEI_LIST, _OTC_LIST = "os_version_huawei.json", "os_version_otc.json"
_OTC_SUPPORTED = "os_supported_otc.json"


SITES = {
    site.key: site
    for site in (
        Site(
            key="huawei",
            title="Huawei Cloud, Chinese mainland",
            source="API reference ims_03_0605 (Chinese edition)",
            date="2026-01-14",
            system_min_disk_linux=10,
            system_min_disk_windows=20,
            data_min_disk_linux=1,
            data_min_disk_windows=1,
            smallest_system_disk=40,
            fields=frozenset({"license_type", "enterprise_project_id"}),
            client_fields=_CLIENT_FIELDS,
            chinese_names=True,
            dot_in_tag_value=True,
            windows_stopped=False,
            os_versions_file=_HUAWEI_LIST,
            inferred=("data_min_disk_linux", "data_min_disk_windows"),
        ),
        Site(
            key="huawei-intl",
            title="Huawei Cloud, international",
            source="API reference ims_03_0605 (English edition)",
            date="2024-08-09",
            system_min_disk_linux=10,
            system_min_disk_windows=20,
            data_min_disk_linux=10,
            data_min_disk_windows=20,
            smallest_system_disk=40,
            fields=frozenset({"license_type", "enterprise_project_id"}),
            client_fields=_CLIENT_FIELDS,
            chinese_names=False,
            dot_in_tag_value=True,
            windows_stopped=True,
            os_versions_file=_HUAWEI_LIST,
            inferred=("smallest_system_disk", "os_versions_file"),
        ),
        Site(
            key="otc",
            title="Open Telekom Cloud",
            source="API reference, Open Telekom Cloud",
            date="2025-12-17",
            system_min_disk_linux=1,
            system_min_disk_windows=1,
            data_min_disk_linux=1,
            data_min_disk_windows=1,
            smallest_system_disk=1,
            fields=frozenset({"hw_firmware_type", "enterprise_project_id"}),
            chinese_names=False,
            dot_in_tag_value=False,
            windows_stopped=False,
            os_versions_file=_OTC_LIST,
            newer_lists=(_OTC_SUPPORTED,),
        ),
        Site(
            key="otc-swiss",
            title="Open Telekom Cloud, Switzerland",
            source="API reference, Open Telekom Cloud Switzerland",
            date="2025-07-16",
            system_min_disk_linux=1,
            system_min_disk_windows=1,
            data_min_disk_linux=1,
            data_min_disk_windows=1,
            smallest_system_disk=1,
            fields=frozenset(),
            chinese_names=False,
            dot_in_tag_value=False,
            windows_stopped=False,
            os_versions_file=_OTC_LIST,
            newer_lists=(_OTC_SUPPORTED,),
            inferred=("smallest_system_disk", "dot_in_tag_value", "os_versions_file"),
        ),
    )
}
