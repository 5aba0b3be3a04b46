"""Which system it is, and which strings of the service mean it."""

from __future__ import annotations

import pytest

from imsprep.guest.linux.os_release import (
    System,
    fits,
    fitting,
    identify,
    numbers,
    parse_os_version,
    read_assignments,
)
from tests.support.guest.trees import linux_guest

UBUNTU = "NAME=Ubuntu\nID=ubuntu\nVERSION_ID=\"22.04\"\nPRETTY_NAME='Ubuntu 22.04.3 LTS'\n"


@pytest.mark.parametrize(
    ("files", "family", "version"),
    [
        ({"/etc/os-release": UBUNTU}, "ubuntu", (22, 4)),
        ({"/etc/os-release": 'ID="opensuse-leap"\nVERSION_ID=15.5\n'}, "opensuse", (15, 5)),
        ({"/etc/os-release": "ID=centos\nVERSION_ID=7\n",
          "/etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n"}, "centos", (7, 9, 2009)),
        ({"/etc/os-release": "ID=debian\nVERSION_ID=12\n", "/etc/debian_version": "11.3\n"},
         "debian", (12,)),
        ({"/etc/SuSE-release": "SUSE Linux Enterprise Server 11 (x86_64)\nVERSION = 11\n"
                               "PATCHLEVEL = 4\n"}, "sles", (11, 4)),
        ({"/etc/alpine-release": "3.18.4\n"}, "alpine", (3, 18, 4)),
    ],
)  # fmt: skip
def test_a_system_is_known_by_its_release_files(
    files: dict[str, str], family: str, version: tuple[int, ...]
) -> None:
    system = identify(linux_guest(files))
    assert system is not None
    assert (system.family, system.version) == (family, version)


def test_a_system_without_any_is_not_known() -> None:
    assert identify(linux_guest({"/etc/hostname": "x\n"})) is None


def test_assignments_are_read_as_a_shell_does_and_nothing_is_run() -> None:
    text = "# A=1\nexport B='two words'  # why\nC=\"$(reboot)\"\nD='torn\n"
    assert read_assignments(text) == {"B": "two words", "C": "$(reboot)", "D": "'torn"}


@pytest.mark.parametrize(
    ("text", "family", "version", "bits"),
    [
        ("CentOS 7.6 64bit", "centos", (7, 6), 64),
        ("Debian GNU/Linux 12.0.0 64bit", "debian", (12, 0, 0), 64),
        ("SUSE Linux Enterprise Server 12 SP5 64bit", "sles", (12, 5), 64),
        ("Red Hat Linux Enterprise 6.4 32bit", "rhel", (6, 4), 32),
        ("Other Linux(64 bit)", None, (), 64),
    ],
)
def test_the_strings_of_the_service_are_compared_by_what_they_mean(
    text: str, family: str | None, version: tuple[int, ...], bits: int
) -> None:
    assert tuple(parse_os_version(text)) == (family, version, bits)


def test_of_those_that_fit_the_nearest_version_comes_first() -> None:
    system = System("centos", (7, 9), 64, "CentOS 7.9", "x")
    strings = ["CentOS 7.2 64bit", "CentOS 7.8 64bit", "CentOS 8.0 64bit", "CentOS 7.9 32bit"]
    assert fitting(system, strings) == ["CentOS 7.8 64bit", "CentOS 7.2 64bit"]
    assert not fits(System("ubuntu", (22, 4), 64, "", ""), "Ubuntu 22.10 server 64bit")


def test_numbers_end_where_the_version_does() -> None:
    assert numbers("7.9.2009 (Core)") == (7, 9, 2009)
    assert numbers("rolling") == ()
