"""The release of Windows, by its registry and by the strings of the service."""

from __future__ import annotations

import pytest

from imsprep.guest.windows.release import parse_windows, windows_release


@pytest.mark.parametrize(
    ("text", "release", "edition"),
    [
        ("Windows Server 2012 R2 Standard 64bit", "server 2012 r2", "standard"),
        ("Windows Server\u00a02022 Datacenter 64bit", "server 2022", "datacenter"),
        ("Windows 10 Pro", "10", "professional"),
        ("Windows 8.1", "8.1", None),
    ],
)
def test_a_name_of_windows_is_read(text: str, release: str, edition: str | None) -> None:
    assert parse_windows(text) == (release, edition)


def test_another_system_is_none() -> None:
    assert parse_windows("Ubuntu 22.04 server 64bit") is None


@pytest.mark.parametrize(("build", "release"), [("19045", "10"), ("22000", "11"), ("x", "10")])
def test_windows_11_calls_itself_10_and_is_known_by_its_build(build: str, release: str) -> None:
    found = windows_release({"ProductName": "Windows 10 Pro", "CurrentBuild": build})
    assert found is not None
    assert (found[0].release, found[1]) == (release, f"Windows {release} Pro")


def test_a_registry_that_does_not_say_is_not_known() -> None:
    assert windows_release({}) is None
    assert windows_release({"ProductName": "?"}) is None
    assert windows_release({"ProductName": 10}) is None
