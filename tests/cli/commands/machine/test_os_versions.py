"""`imsprep os-versions`: the dated lists of a site, and the region's own."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.support.running import Outcome


def test_the_lists_of_a_site_are_shown_with_their_dates(imsprep: Callable[..., Outcome]) -> None:
    done = imsprep("os-versions", "--site", "otc", "debian", "12.0")
    assert done.code == 0
    assert "2025-12-17" in done.out
    assert "Debian GNU/Linux 12.0.0 64bit" in done.out
    assert "CentOS 7.6 64bit" not in done.out


def test_a_system_without_a_documented_spelling_says_so(imsprep: Callable[..., Outcome]) -> None:
    done = imsprep("os-versions", "--site", "otc", "rocky")
    assert "Rocky Linux, whose spelling is not documented: 9.2 64bit" in done.out


def test_a_value_is_shown_once_and_sorted_by_its_numbers(
    imsprep: Callable[..., Outcome],
) -> None:
    lines = imsprep("os-versions", "--site", "otc", "debian").out.splitlines()
    values = [line for line in lines if line.startswith("Debian")]
    assert len(values) == len(set(values))
    assert values.index("Debian GNU/Linux 8.8.0 64bit") < values.index("Debian GNU/Linux 8.10.0 64bit")  # fmt: skip
    assert any(line.endswith(" of them above") for line in lines)


def test_a_number_is_the_beginning_of_a_version(imsprep: Callable[..., Outcome]) -> None:
    done = imsprep("os-versions", "--site", "otc", "debian", "12")
    assert [line for line in done.out.splitlines() if line.startswith("Debian")] == [
        "Debian GNU/Linux 12.0.0 64bit"
    ]


def test_a_note_speaks_of_what_is_shown(imsprep: Callable[..., Outcome]) -> None:
    assert "Rocky" not in imsprep("os-versions", "--site", "otc", "debian").out
    assert "Rocky Linux and FreeBSD stand" in imsprep("os-versions", "--site", "otc", "rocky").out
    assert "Rocky Linux and FreeBSD stand" in imsprep("os-versions", "--site", "otc").out


def test_json_has_every_list(imsprep: Callable[..., Outcome]) -> None:
    value = json.loads(imsprep("os-versions", "--site", "otc", "--json").out)
    assert [one["date"] for one in value["lists"]] == ["2025-12-17", "2024"]
    assert "Fedora 39 64bit" in value["lists"][1]["os_versions"]


def test_without_a_region_none_is_asked(imsprep: Callable[..., Outcome]) -> None:
    done = imsprep("os-versions", "--online", "--site", "otc")
    assert done.code == 2
