"""Identify the release of Windows, in the terms of the service's `os_version` strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_EDITIONS = {
    "datacenter": "datacenter", "standard": "standard", "enterprise": "enterprise",
    "essentials": "essentials", "web": "web", "professional": "professional", "pro": "professional",
}  # fmt: skip
_WINDOWS_11_BUILD = 22000  # its ProductName still says Windows 10


class WindowsRelease(NamedTuple):
    """A Windows: `release` is "server 2012 r2" or "10"; `edition` is None if the text has none."""

    release: str
    edition: str | None


def parse_windows(text: str) -> WindowsRelease | None:
    """Read a ProductName or an `os_version`; None if it names no Windows."""
    plain = text.replace("\u00a0", " ").lower()
    found = re.search(r"windows\s+(server\s+\d{4}|\d+(?:\.\d+)?)", plain)
    if found is None:
        return None
    release = re.sub(r"\s+", " ", found[1])
    if release.startswith("server") and re.search(r"\br2\b", plain):
        release += " r2"
    edition = next(
        (_EDITIONS[word] for word in re.findall(r"[a-z]+", plain) if word in _EDITIONS), None
    )
    return WindowsRelease(release, edition)


def windows_release(registry: Mapping[str, object]) -> tuple[WindowsRelease, str] | None:
    """Return the release by the registry's values, and its name; None if they do not say."""
    name = registry.get("ProductName")
    release = parse_windows(name) if isinstance(name, str) else None
    if not isinstance(name, str) or release is None:
        return None
    build = str(registry.get("CurrentBuild") or registry.get("CurrentBuildNumber") or "")
    if release.release == "10" and build.isdigit() and int(build) >= _WINDOWS_11_BUILD:
        return release._replace(release="11"), name.replace("10", "11")
    return release, name
