"""How the card of a server is named, by what a system has of udev, rules and .link files."""

from __future__ import annotations

from typing import Any

import pytest

from imsprep.guest.linux.card_name import CardName, Way, card_name
from tests.support.guest.trees import Link, cpio, debian, drivers, linux_guest
from tests.support.guest.udev import (
    CENTOS7,
    LINKS,
    OWN_LINKS,
    OWN_RULES,
    RULES,
    SETUP_LINK,
    UDEV,
)


def named(files: dict[str, Any], arguments: str = "") -> CardName:
    tree = {**debian(), **files}
    grub = tree["/boot/grub/grub.cfg"]
    assert isinstance(grub, str)
    tree["/boot/grub/grub.cfg"] = grub.replace(" ro ", f" ro {arguments} ")
    return card_name(linux_guest({p: t for p, t in tree.items() if t is not None}))


def link(match: str, what: str) -> str:
    return f"[Match]\n{match}\n[Link]\n{what}\n"


@pytest.mark.parametrize(("files", "way"), [
    ({}, Way.PLACE),
    (CENTOS7, Way.PLACE),
    # What keeps udev from it, each as its documentation says.
    ({f"{OWN_LINKS}/99-default.link": Link("/dev/null")}, Way.KERNEL),
    ({f"{OWN_LINKS}/99-default.link": ""}, Way.KERNEL),
    ({f"{OWN_RULES}/80-net-setup-link.rules": Link("/dev/null")}, Way.KERNEL),
    ({**CENTOS7, f"{OWN_RULES}/80-net-name-slot.rules": Link("/dev/null")}, Way.KERNEL),
    ({f"{OWN_LINKS}/10-kernel.link": link("OriginalName=*", "NamePolicy=kernel")}, Way.KERNEL),
    ({f"{OWN_LINKS}/10-lan.link": link("Driver=virtio_net", "Name=lan0")}, Way.FILE),
    ({f"{OWN_LINKS}/10-lan.link": link("OriginalName=eth*", "Name=lan0")}, Way.FILE),
    # A file of Debian 9 that was upgraded; the first policy gives QEMU's cards no name as a rule.
    ({f"{OWN_LINKS}/50-virtio-kernel-names.link":
      link("Driver=virtio_net", "NamePolicy=onboard kernel")}, Way.UNKNOWN),
    # What is for other cards, or of a lower place, changes nothing.
    ({f"{OWN_LINKS}/10-lan.link": link("MACAddress=00:50:56:01:02:03", "Name=lan0")}, Way.PLACE),
    ({f"{OWN_LINKS}/10-lan.link": link("Driver=vmxnet3", "Name=lan0")}, Way.PLACE),
    ({f"{OWN_LINKS}/10-lan.link": link("Type=wlan", "Name=lan0")}, Way.PLACE),
    ({f"{OWN_LINKS}/10-lan.link": link("OriginalName=!eth*", "Name=lan0")}, Way.PLACE),
    ({f"{LINKS}/75-usb.link": link("Property=ID_BUS=usb", "NamePolicy=mac")}, Way.PLACE),
    ({f"{OWN_LINKS}/99-zz.link": link("OriginalName=*", "NamePolicy=kernel")}, Way.PLACE),
    ({f"{OWN_RULES}/60-disk.rules": 'KERNEL=="sda", SYMLINK+="system"\n'}, Way.PLACE),
    ({f"{OWN_RULES}/60-net.rules": '# NAME="lan0"\n'}, Way.PLACE),
    # What is not known on a server.
    ({f"{OWN_LINKS}/10-lan.link": link("Path=pci-0000:00:03.0", "Name=lan0")}, Way.UNKNOWN),
    ({f"{OWN_LINKS}/10-lan.link": link("Host=web", "Name=lan0")}, Way.UNKNOWN),
    ({f"{OWN_LINKS}/99-default.link.d/x.conf": "[Link]\nNamePolicy=kernel\n"}, Way.UNKNOWN),
    ({f"{OWN_RULES}/10-own.rules": 'SUBSYSTEM=="net", DRIVERS=="?*", NAME="eth0"\n'}, Way.UNKNOWN),
    ({f"{OWN_RULES}/10-own.rules": 'SUBSYSTEM=="net", RUN+="/sbin/ip link set %k name lan0"\n'},
     Way.UNKNOWN),
    ({f"{OWN_RULES}/80-net-setup-link.rules": "# by hand\n"}, Way.UNKNOWN),
    ({f"{RULES}/80-net-setup-link.rules": SETUP_LINK + 'ENV{net.ifnames}!="1", GOTO="x"\n'},
     Way.UNKNOWN),
    ({"/lib/systemd/systemd-udevd": None}, Way.UNKNOWN),
    ({f"{RULES}/75-persistent-net-generator.rules": "x"}, Way.UNKNOWN),
    ({"/etc/mactab": "eth0 52:54:00:12:34:56\n"}, Way.UNKNOWN),
    ({"/etc/network/interfaces": "rename enp0s3=eth0\n"}, Way.UNKNOWN),
    ({"/etc/os-release": 'ID="sles"\nVERSION_ID="15.5"\n'}, Way.UNKNOWN),
    ({"/etc/os-release": 'ID=opensuse-leap\nID_LIKE="suse opensuse"\n'}, Way.UNKNOWN),
    ({"/boot/grub/grub.cfg": " ro \n"}, Way.UNKNOWN),
])  # fmt: skip
def test_a_card_is_named_by_the_first_that_says_so(files: dict[str, Any], way: Way) -> None:
    assert named({**UDEV, **files}).way is way


@pytest.mark.parametrize(("arguments", "way"), [
    ("net.ifnames=0", Way.KERNEL), ("net.ifnames=0 biosdevname=0", Way.KERNEL),
    ("net.ifnames=no", Way.KERNEL), ("net.ifnames=1", Way.PLACE),
    ("net.ifnames=0 net.ifnames=1", Way.PLACE), ("biosdevname=0", Way.PLACE),
    ("ifname=eth0:52:54:00:12:34:56", Way.UNKNOWN), ("net.ifnames.prefix=net", Way.UNKNOWN),
])  # fmt: skip
def test_the_command_line_keeps_the_kernels_name(arguments: str, way: Way) -> None:
    assert named(UDEV, arguments).way is way


def test_a_link_file_tells_the_name_and_whether_there_are_others() -> None:
    lan = named({**UDEV, f"{OWN_LINKS}/10-lan.link": link("Driver=virtio*", "Name=lan0")})
    assert (lan.name, lan.others, lan.never_eth) == ("lan0", False, False)
    assert named(UDEV, "net.ifnames=0") == CardName(Way.KERNEL, others=True)
    assert named(UDEV).never_eth


OWN = 'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", NAME="lan0"\n'
INITRD = "/boot/initrd.img-4.19.0-27-amd64"


@pytest.mark.parametrize(("files", "way"), [
    ({f"{RULES}/70-lan.rules": OWN}, Way.UNKNOWN),
    ({"/usr/lib/udev/rules.d/70-lan.rules": OWN}, Way.UNKNOWN),
    ({f"{RULES}/70-lan.rules": OWN, f"{OWN_RULES}/70-lan.rules": Link("/dev/null")}, Way.PLACE),
    ({f"{RULES}/73-special.rules": 'SUBSYSTEM=="net", SUBSYSTEMS=="usb", NAME="idrac"\n'}, Way.PLACE),
    ({"/usr/lib/systemd/network/10-lan.link": link("Driver=virtio_net", "Name=lan0")}, Way.FILE),
    ({"/usr/lib/systemd/network/99-default.link": link("OriginalName=*", "NamePolicy=kernel")},
     Way.PLACE),  # /lib's counts, where the two are not one folder
])  # fmt: skip
def test_what_packages_bring_names_the_card_too(files: dict[str, Any], way: Way) -> None:
    assert named({**UDEV, **files}).way is way


@pytest.mark.parametrize(("inside", "files", "way"), [
    ({"lib/systemd/network/10-lan.link": b"x"}, {}, Way.UNKNOWN),
    ({"usr/lib/systemd/network/99-default.link": b"x"}, {}, Way.PLACE),
    ({"lib/systemd/network/10-lan.link": b"x"},
     {f"{OWN_LINKS}/10-lan.link": link("Driver=vmxnet3", "Name=lan0")}, Way.PLACE),
    ({"lib/udev/rules.d/70-lan.rules": OWN.encode()}, {}, Way.UNKNOWN),
    ({"lib/udev/rules.d/80-net-setup-link.rules": SETUP_LINK.encode()}, {}, Way.PLACE),
    ({"lib/udev/rules.d/60-disk.rules": b'KERNEL=="sda", SYMLINK+="system"\n'}, {}, Way.PLACE),
])  # fmt: skip
def test_what_an_initramfs_has_and_the_system_not_may_name_the_card(
    inside: dict[str, bytes], files: dict[str, Any], way: Way
) -> None:
    version = "4.19.0-27-amd64"
    image = cpio({**drivers(version), **inside})
    assert named({**UDEV, **files, INITRD: image}).way is way
    without = cpio({**drivers(version, ["virtio_blk"]), **inside})
    assert named({**UDEV, **files, INITRD: without}).way is Way.PLACE, "the card comes later"
