"""The strings of `os_version`: what they mean, and that no other version is ever proposed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.cloud.os_names import is_well_formed, named, near, newest, read_os_name
from imsprep.cloud.sites import SITES

OTC, HUAWEI = SITES["otc"].listed, SITES["huawei"].listed
EVERY = sorted({*OTC, *HUAWEI})


@pytest.mark.parametrize(
    ("asked", "first", "count"),
    [
        ("Debian GNU/Linux 12", ["Debian GNU/Linux 12.0.0 64bit"], 1),
        ("debian 12 64bit", ["Debian GNU/Linux 12.0.0 64bit"], 1),
        ("Debian GNU/Linux 11", [f"Debian GNU/Linux 11.{n}.0 64bit" for n in (0, 7, 6)], 8),
        ("Ubuntu 22.04", ["Ubuntu 22.04 Server 64bit"], 1),
        ("Ubuntu 18.04", [f"Ubuntu 18.04{n} 64bit" for n in (" server", ".2 Server", ".1 Server")], 3),
        ("CentOS 7", [f"CentOS 7.{n} 64bit" for n in (0, 9, 8)], 10),
        ("CentOS 7.9.2009", ["CentOS 7.9 64bit"], 1),
        ("Windows Server 2022",
         [f"Windows Server 2022 {e} 64bit" for e in ("Standard", "Datacenter")], 2),
        ("Windows Server 2012 R2 Datacenter", ["Windows Server 2012 R2 Datacenter 64bit"], 1),
        ("rhel 7.6", ["Redhat 7.6 64bit", "Red Hat Linux Enterprise 7.6 64bit"], 2),
        ("SLES 15 SP5", ["SUSE Linux Enterprise Server 15 SP5 64bit"], 1),
        ("EulerOS 2.10", ["EulerOS 2.10 64bit"], 1),
    ],
)  # fmt: skip
def test_an_incomplete_value_gets_those_of_its_version(
    asked: str, first: list[str], count: int
) -> None:
    found = near(asked, OTC)
    assert (list(found[:3]), len(found)) == (first, count)


@pytest.mark.parametrize(
    "asked",
    ["Ubuntu 24.04", "Debian GNU/Linux 12.5", "rocky 9.3", "CentOS Stream 8", "CentOS 7.10 64bit",
     "Windows Server 2025", "SLES 15 SP9", "Fedora CoreOS 39", "Ubuntu 18.04 server 32bit",
     "Debian", "Other Linux(64 bit)", "Linux 12 64bit", ""],
)  # fmt: skip
def test_what_no_list_has_gets_no_proposal(asked: str) -> None:
    assert near(asked, OTC) == ()


def test_another_release_of_a_windows_server_is_another_system() -> None:
    assert not any("R2" in value for value in near("Windows Server 2012", HUAWEI))
    assert all("R2" in value for value in near("Windows Server 2008 R2", HUAWEI))
    assert near("Windows 10", HUAWEI) == ("Windows 10 64bit",)


@given(st.sampled_from(EVERY), st.integers(1, 3), st.booleans(), st.sampled_from([OTC, HUAWEI]))
def test_a_proposal_keeps_system_major_and_a_minor_that_was_given(
    listed: str, numbers: int, with_width: bool, others: tuple[str, ...]
) -> None:
    name = read_os_name(listed)
    version = ".".join(map(str, name.version[:numbers]))
    start = listed[: listed.index(version.split(".")[0])]
    width = f" {name.bits}bit" if with_width else ""
    asked = read_os_name(f"{start}{version}{width}")
    for value in near(f"{start}{version}{width}", others):
        meant = read_os_name(value)
        assert (meant.system, meant.version[:1]) == (name.system, name.version[:1])
        assert not asked.version[1:] or meant.version[1:2] == asked.version[1:2]
        assert not with_width or meant.bits in (None, name.bits)


@given(st.sampled_from(EVERY))
def test_a_listed_value_is_nearest_to_itself(value: str) -> None:
    assert value.lower() in [found.lower() for found in near(value, EVERY)]


def test_every_listed_value_is_well_formed() -> None:
    assert [v for v in EVERY if not is_well_formed(v)] == []
    assert all(
        map(
            is_well_formed,
            ["Rocky Linux 9.3 64bit", "Other Linux(64 bit)", "Other(32 bit)", "Arch Linux 64bit"],
        )
    )


@pytest.mark.parametrize(
    "value",
    ["Debian GNU/Linux 12", "x", "64bit", "12 64bit", "A 1 64bit x", "A 164bit", "CoreOS", ""],
)
def test_a_value_that_lacks_a_part_is_not(value: str) -> None:
    assert not is_well_formed(value)


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    read_os_name(text)
    assert isinstance(is_well_formed(text), bool)
    assert len(set(near(text, EVERY))) == len(near(text, EVERY))


def test_three_are_named() -> None:
    assert named(("a",)) == '"a"'
    assert named(("a", "b"), "or") == '"a" or "b"'
    assert named(("a", "b", "c"), "or") == '"a", "b" or "c"'
    assert named(("a", "b", "c", "d", "e")) == '"a", "b", "c" and 2 more'


@pytest.mark.parametrize(
    ("asked", "listed", "found"),
    [
        ("Debian 13", OTC, "Debian GNU/Linux 12.0.0 64bit"),
        ("Debian 13 64bit", HUAWEI, "Debian GNU/Linux 10.0.0 64bit"),
        ("CentOS 9 32bit", HUAWEI, "CentOS 7.0 32bit"),
        ("Plan 9", OTC, None),
        ("Arch Linux 64bit", OTC, None),
    ],
)
def test_the_newest_of_a_system_is_of_its_width(
    asked: str, listed: tuple[str, ...], found: str | None
) -> None:
    assert newest(asked, listed) == found
