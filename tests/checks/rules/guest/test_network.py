"""Names and files of the network that do not come to an address on the server."""

from __future__ import annotations

from typing import Any

import pytest

from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import Link, debian, linux_guest
from tests.support.guest.udev import LINKS, OWN_LINKS, OWN_RULES, UDEV

INTERFACES, NETPLAN = "/etc/network/interfaces", "/etc/netplan/01-lan.yaml"
DHCP = "network: {ethernets: {%s: {dhcp4: true}}}\n"


def bad(files: dict[str, Any]) -> dict[str, str]:
    tree = {**debian(), INTERFACES: None, **files}
    found, _ = check_guest(linux_guest({p: t for p, t in tree.items() if t is not None}))
    return {f.rule: f.message for f in found if f.severity > Severity.NOTE}


@pytest.mark.parametrize("name", ["ens192", "ens18", "enp6s18", "eth1", "eno1", "enX0"])
def test_a_name_that_the_servers_card_does_not_get_is_found(name: str) -> None:
    assert name in bad({NETPLAN: DHCP % name})["IMS844"]
    assert name in bad({INTERFACES: f"auto {name}\niface {name} inet dhcp\n"})["IMS844"]


@pytest.mark.parametrize("name", ["eth0", "ens3", "ens5", "enp1s0", "enp4s3"])
def test_a_name_that_it_can_get_is_not(name: str) -> None:
    assert bad({NETPLAN: DHCP % name}) == {}
    assert bad({INTERFACES: f"auto {name}\niface {name} inet dhcp\n"}) == {}


def test_a_pattern_of_ifupdown_brings_a_stanza_up() -> None:
    assert bad({INTERFACES: "auto /e*=lan\niface lan inet dhcp\n"}) == {}
    assert bad({INTERFACES: "allow-hotplug /eth*\niface eth0 inet dhcp\n"}) == {}
    assert "IMS824" in bad({INTERFACES: "auto /wl*\niface eth0 inet dhcp\n"})
    assert "ens192" in bad({INTERFACES: "auto ens192=lan\niface lan inet dhcp\n"})["IMS844"]


def test_netplan_reads_only_names_that_end_in_yaml() -> None:
    assert "/etc/netplan/lan.yml" in bad({"/etc/netplan/lan.yml": DHCP % "eth0"})["IMS824"]


def test_netplans_files_of_the_distribution_count_where_etc_has_none_of_that_name() -> None:
    assert bad({"/lib/netplan/01-lan.yaml": DHCP % "eth0"}) == {}
    both = {"/lib/netplan/01-lan.yaml": DHCP % "eth0", NETPLAN: "network: {version: 2}\n"}
    assert "IMS824" in bad(both)


def test_a_rule_of_udev_that_names_by_address_is_found_in_any_file() -> None:
    rule = 'SUBSYSTEM=="net", ATTR{address}=="00:50:56:01:02:03", NAME="lan0"\n'
    files = {INTERFACES: "auto eth0\niface eth0 inet dhcp\n"}
    found = bad({**files, "/etc/udev/rules.d/10-network.rules": rule})
    assert found["IMS820"] == "/etc/udev/rules.d/10-network.rules holds 1 rule"
    queue = 'SUBSYSTEM=="net", ATTR{address}=="00:50:56:01:02:03", RUN+="/bin/tune"\n'
    assert bad({**files, "/etc/udev/rules.d/10-network.rules": queue}) == {}


CURTIN = "/etc/cloud/cloud.cfg.d/50-curtin-networking.cfg"
CLOUD = "/etc/cloud/cloud.cfg.d/99_openstack.cfg"
CARD = "{name: %s, type: physical, subnets: [{type: %s}]}"


@pytest.mark.parametrize(("network", "rule"), [
    ("{version: 2, ethernets: {ens192: {dhcp4: true}}}", "IMS844"),
    ("{version: 2, ethernets: {eth0: {addresses: [10.0.0.2/24]}}}", "IMS822"),
    ("{version: 2, ethernets: {eth0: {dhcp4: true}}}", None),
    (f"{{version: 1, config: [{CARD % ('ens192', 'dhcp')}]}}", "IMS844"),
    (f"{{version: 1, config: [{CARD % ('eth0', 'static')}]}}", "IMS822"),
    (f"{{version: 1, config: [{CARD % ('eth0', 'dhcp4')}, {{type: nameserver}}]}}", None),
    ("{version: 1, config: [{name: eth0, type: physical}, {name: br0, type: bridge, "
     "bridge_interfaces: [eth0], subnets: [{type: dhcp}]}]}", None),
    (f"{{version: 1, config: [{CARD % ('eth0', 'dhcp')}, {{name: eth1, type: physical}}]}}", None),
    (f"{{version: 1, config: [{CARD % ('eth0', 'dhcp')}, {CARD % ('eth1', 'manual')}]}}", None),
    (f"{{version: 1, config: [{CARD % ('eth0', 'static')}, {{name: br0, type: bridge, "
     "bridge_interfaces: [eth0], subnets: [{type: dhcp}]}]}", None),
    ("{version: 1, config: 7}", None),
])  # fmt: skip
def test_cloud_init_sets_up_what_its_own_configuration_says(network: str, rule: str | None) -> None:
    cloud = debian()[CLOUD]
    assert isinstance(cloud, str)
    files = {
        CLOUD: cloud.replace("network: {config: disabled}\n", ""),
        CURTIN: f"network: {network}\n",
    }
    found = bad(files)
    assert list(found) == ([rule] if rule else [])
    assert all(CURTIN in message for r, message in found.items() if r != "IMS824")
    assert (
        bad({CURTIN: f"network: {network}\n", INTERFACES: "auto eth0\niface eth0 inet dhcp\n"})
        == {}
    )


@pytest.mark.parametrize(("path", "text", "service"), [
    (NETPLAN, DHCP % "eth0", "systemd-networkd.service"),
    (NETPLAN, "network: {renderer: NetworkManager, ethernets: {eth0: {dhcp4: true}}}\n",
     "NetworkManager.service"),
])  # fmt: skip
def test_a_masked_service_brings_nothing_up(path: str, text: str, service: str) -> None:
    mask = {f"/etc/systemd/system/{service}": Link("/dev/null")}
    assert f"{service} is masked" in bad({path: text, **mask})["IMS824"]
    assert bad({path: text, f"/etc/systemd/system/{service}": "[Service]\n"}) == {}
    assert bad({path: text}) == {}


GLOBAL = "/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf"


def test_a_network_manager_that_leaves_ethernet_alone_brings_nothing_up() -> None:
    wifi = {"/usr/sbin/NetworkManager": "x",
            GLOBAL: "[keyfile]\nunmanaged-devices=*,except:type:wifi,except:type:gsm\n"}  # fmt: skip
    assert "IMS824" in bad(wifi)
    assert bad({**wifi, NETPLAN: "network: {renderer: NetworkManager}\n"}) == {}
    assert bad({**wifi, GLOBAL.replace("/usr/lib", "/etc"): ""}) == {}
    assert bad({**wifi, GLOBAL: "[keyfile]\nunmanaged-devices=*,except:type:ethernet\n"}) == {}


KEYFILE = "/etc/NetworkManager/system-connections/lan.nmconnection"


@pytest.mark.parametrize(("match", "says"), [
    ("interface-name=ens19*;ens2*;\n", "ens19* ens2*"), ("interface-name=en*\n", None),
    ("driver=vmxnet3\n", "* of the driver vmxnet3"), ("driver=virtio_net;vmxnet3\n", None),
])  # fmt: skip
def test_a_profile_may_name_its_card_by_a_pattern_or_driver(match: str, says: str | None) -> None:
    text = f"[connection]\ntype=ethernet\n[match]\n{match}[ipv4]\nmethod=auto\n"
    found = bad({KEYFILE: text})
    assert ("IMS844" in found) is (says is not None)
    assert (says or "") in found.get("IMS844", "")


def test_a_profile_that_the_distribution_brings_counts() -> None:
    text = "[connection]\ntype=ethernet\n[ipv4]\nmethod=auto\n"
    assert bad({KEYFILE.replace("/etc/", "/usr/lib/"): text}) == {}


LAN = {INTERFACES: "auto lan0\niface lan0 inet dhcp\n"}


@pytest.mark.parametrize(
    "giver",
    [
        {"/etc/udev/rules.d/10-own.rules": "x"},
        {"/etc/systemd/network/10-lan.link": "[Match]\nDriver=virtio_net\n[Link]\nName=lan0\n"},
        {"/etc/mactab": "lan0 52:54:00:12:34:56\n"},
    ],
)
def test_a_name_that_nothing_gives_is_found(giver: dict[str, str]) -> None:
    assert "only lan0" in bad(LAN)["IMS844"]
    assert bad({**LAN, **giver}) == {}


@pytest.mark.parametrize("off", [
    {"/usr/bin/cloud-init": None, "/etc/cloud/cloud.cfg": None},
    {"/etc/cloud/cloud-init.disabled": ""},
])  # fmt: skip
def test_the_network_in_cloud_inits_files_is_for_a_cloud_init_that_runs(
    off: dict[str, str | None],
) -> None:
    network = f"network: {{version: 1, config: [{CARD % ('eth0', 'static')}]}}\n"
    files = {INTERFACES: "auto eth0\niface eth0 inet dhcp\n", CURTIN: network, CLOUD: ""}
    assert "IMS822" in bad(files)
    assert "IMS822" not in bad({**files, **off})


PROGRAMS = {"/usr/bin/ls": "x", "/usr/bin/mount": "x", "/usr/bin/env": "x"}  # of a whole system
BY_NETPLAN = {NETPLAN: DHCP % "eth0"}
BY_MANAGER = {NETPLAN: "network: {renderer: NetworkManager, ethernets: {eth0: {dhcp4: true}}}\n"}
BY_IFUP = {INTERFACES: "auto eth0\niface eth0 inet dhcp\n"}
BY_PROFILE = {KEYFILE: "[connection]\ntype=ethernet\n[ipv4]\nmethod=auto\n"}


@pytest.mark.parametrize(("files", "program", "path"), [
    (BY_NETPLAN, "netplan", "/usr/sbin/netplan"),
    (BY_IFUP, "ifup", "/sbin/ifup"),
    ({**BY_MANAGER, "/usr/sbin/netplan": "x"}, "NetworkManager", "/usr/sbin/NetworkManager"),
    (BY_PROFILE, "NetworkManager", "/usr/bin/NetworkManager"),
])  # fmt: skip
def test_files_without_the_program_that_reads_them_bring_nothing_up(
    files: dict[str, str], program: str, path: str
) -> None:
    assert f"{program} is not installed" in bad({**files, **PROGRAMS})["IMS824"]
    assert bad({**files, **PROGRAMS, path: "x"}) == {}
    assert bad(files) == {}, "of a system that is not whole nothing is missed"


@pytest.mark.parametrize(("text", "read"), [
    ("source /etc/network/interfaces.d/*\n", True), ("source interfaces.d/*.cfg\n", True),
    ("source-directory /etc/network/interfaces.d\n", False), ("auto lo\n", False),
    ("# source /etc/network/interfaces.d/*\n", False), (None, False),
])  # fmt: skip
def test_a_file_of_interfaces_d_counts_where_it_is_sourced(text: str | None, read: bool) -> None:
    path = "/etc/network/interfaces.d/50-lan.cfg"
    found = bad({INTERFACES: text, path: BY_IFUP[INTERFACES]})
    assert list(found) == ([] if read else ["IMS824"])
    assert all(path in message for message in found.values())


def test_a_folder_that_is_sourced_counts_with_plain_names() -> None:
    text = "source-directory interfaces.d\n"
    assert bad({INTERFACES: text, "/etc/network/interfaces.d/lan": BY_IFUP[INTERFACES]}) == {}


IFCFG = "/etc/sysconfig/network-scripts/ifcfg-%s"
OFF = "BOOTPROTO=dhcp\nONBOOT=no\n"


@pytest.mark.parametrize(("files", "found"), [
    ({IFCFG % "eth0": OFF}, True), ({IFCFG % "ens192": OFF}, False), ({IFCFG % "br0": OFF}, False),
    ({IFCFG % "eth0": OFF + "HWADDR=00:50:56:01:02:03\n"}, False),
    ({KEYFILE: "[connection]\ntype=ethernet\nautoconnect=false\n"}, True),
    ({KEYFILE: "[connection]\ntype=ethernet\nautoconnect=false\ninterface-name=ens33\n"}, False),
])  # fmt: skip
def test_a_profile_that_does_not_start_keeps_network_manager_from_making_its_own(
    files: dict[str, str], found: bool
) -> None:
    said = bad({**files, "/usr/sbin/NetworkManager": "x"})
    assert ("IMS824" in said) is found
    assert not found or "is not to start at boot" in said["IMS824"]


DHCPCD = {"/etc/systemd/system/multi-user.target.wants/dhcpcd.service": Link("/x")}


@pytest.mark.parametrize(("text", "rule"), [
    ("hostname\npersistent\ndenyinterfaces veth*\n", None), ("allowinterfaces eth0\n", None),
    ("interface eth0\nstatic ip_address=10.0.0.2/24\n", "IMS822"),
    ("# interface eth0\n#static ip_address=10.0.0.2/24\n", None), ("allowinterfaces ens192\n", "IMS844"),
])  # fmt: skip
def test_what_dhcpcd_is_set_to_counts_where_it_starts(text: str, rule: str | None) -> None:
    assert list(bad({"/etc/dhcpcd.conf": text, **DHCPCD})) == ([rule] if rule else [])
    assert list(bad({"/etc/dhcpcd.conf": text, **BY_IFUP})) == []


GRUB = "/boot/grub/grub.cfg"
NETWORKD = {
    "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": Link("/x"),
    "/etc/systemd/network/10-lan.network": "[Match]\nName=eth0\n[Network]\nDHCP=yes\n",
}
BY_NAME = {KEYFILE: "[connection]\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=auto\n"}
NEVER_ASKED = {"/etc/NetworkManager/conf.d/server.conf": "[main]\nno-auto-default=*\n"}
MANAGER = {**BY_NAME, **NEVER_ASKED, "/usr/sbin/NetworkManager": "x"}
BY_IFCFG = {IFCFG % "eth0": "DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n"}
BRIDGE = {INTERFACES: "auto br0\niface eth0 inet manual\niface br0 inet dhcp\n bridge_ports eth0\n"}
BY_DHCPCD = {"/etc/dhcpcd.conf": "allowinterfaces eth0\n", **DHCPCD}


def with_arguments(words: str) -> dict[str, str]:
    text = debian()[GRUB]
    assert isinstance(text, str)
    return {GRUB: text.replace(" ro ", f" ro {words} ")}


@pytest.mark.parametrize(("files", "advice"), [
    (BY_IFUP, "net.ifnames=0"), (BY_NETPLAN, 'match: {name: "e*"}'), (NETWORKD, "Name=e*"),
    (MANAGER, "remove interface-name"), (BY_IFCFG, "DEVICE=eth0"), (BRIDGE, "net.ifnames=0"),
    (BY_DHCPCD, "remove allowinterfaces"),
    ({INTERFACES: "allow-hotplug /eth*\niface eth0 inet dhcp\n"}, "net.ifnames=0"),
])  # fmt: skip
def test_a_name_of_the_kernel_where_udev_names_by_place_is_found_with_advice_for_its_manager(
    files: dict[str, Any], advice: str
) -> None:
    tree = {**debian(), INTERFACES: None, **UDEV, **files}
    found, _ = check_guest(linux_guest({p: t for p, t in tree.items() if t is not None}))
    said = [f for f in found if f.rule == "IMS844"]
    assert ["eth" in f.message and "by its place" in f.message for f in said] == [True]
    assert advice in said[0].fix
    assert bad(files) == {}, "without udev of systemd it is not known"


@pytest.mark.parametrize("mended", [
    with_arguments("net.ifnames=0"), {f"{OWN_LINKS}/99-default.link": Link("/dev/null")},
    {f"{OWN_RULES}/80-net-setup-link.rules": Link("/dev/null")},
    {f"{OWN_LINKS}/10-lan.link": "[Match]\nDriver=virtio_net\n[Link]\nName=eth0\n"},
    {f"{OWN_LINKS}/10-lan.link": "[Match]\nOriginalName=eth*\n[Link]\nNamePolicy=kernel\n"},
    {f"{OWN_RULES}/70-lan.rules": 'SUBSYSTEM=="net", DRIVERS=="virtio-pci", NAME="eth0"\n'},
    {"/lib/udev/rules.d/75-persistent-net-generator.rules": "x"},
    {INTERFACES: "auto ens3\niface ens3 inet dhcp\n"}, {NETPLAN: DHCP % "enp1s0"},
    {NETPLAN: "network: {ethernets: {any: {match: {name: 'e*'}, dhcp4: true}}}\n"},
    {"/usr/sbin/NetworkManager": "x"}, {CLOUD: "network: {}\n"},
])  # fmt: skip
def test_what_keeps_the_name_or_brings_up_another_is_no_fault(mended: dict[str, Any]) -> None:
    assert "IMS844" in bad({**UDEV, **BY_IFUP})
    found = bad({**UDEV, **BY_IFUP, **mended})
    assert not {"IMS844", "IMS824"} & set(found)


def test_a_profile_of_a_name_that_no_card_gets_does_not_stop_network_manager() -> None:
    off = {IFCFG % "eth0": OFF, "/usr/sbin/NetworkManager": "x"}
    assert "IMS824" in bad(off)
    assert bad({**off, **UDEV}) == {}


@pytest.mark.parametrize("name", ["lan0", "ens3"])
def test_a_name_that_a_link_file_gives_is_the_cards(name: str) -> None:
    given = {f"{OWN_LINKS}/10-lan.link": f"[Match]\nDriver=virtio_net\n[Link]\nName={name}\n"}
    assert bad({**UDEV, **given, INTERFACES: f"auto {name}\niface {name} inet dhcp\n"}) == {}


def test_a_name_by_place_is_not_given_where_udev_is_kept_from_it() -> None:
    files = {INTERFACES: "auto ens3\niface ens3 inet dhcp\n"}
    mask = {f"{OWN_LINKS}/99-default.link": Link("/dev/null")}
    assert "ens3" in bad({**UDEV, **files, **mask})["IMS844"]
    assert bad({**UDEV, **files, **with_arguments("net.ifnames=0")}) == {}, "an alternative name"
    assert "ens3" in bad({**files, **with_arguments("net.ifnames=0")})["IMS844"], "of older systems"


@pytest.mark.parametrize(
    ("names", "found"),
    [("en*", True), ("ens3 enp1s0", True), ("e*", False), ("en* eth*", False), ("!lo", False)],
)
def test_a_pattern_of_names_by_place_fits_no_card_that_the_kernel_names(
    names: str, found: bool
) -> None:
    link = {f"{LINKS}/99-default.link": "[Match]\nOriginalName=*\n[Link]\nNamePolicy=slot path\n"}
    wired = {
        INTERFACES: None,
        "/etc/systemd/network/20-wired.network": f"[Match]\nName={names}\n[Network]\nDHCP=yes\n",
        "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": Link("/x"),
    }
    off = with_arguments("net.ifnames=0")
    assert ("IMS844" in bad({**UDEV, **link, **wired, **off})) is found
    assert "IMS844" not in bad({**UDEV, **wired, **off}), "newer ones give them as alternatives"
    assert "IMS844" not in bad({**UDEV, **link, **wired})
