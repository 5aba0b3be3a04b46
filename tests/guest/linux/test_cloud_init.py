"""cloud-init's settings, from its files and the kernel command line."""

from __future__ import annotations

import pytest

from imsprep.guest.linux import cloud_init
from imsprep.guest.model import Volume
from tests.support.guest.rules import bad, check_guest
from tests.support.guest.trees import ROOT, debian, linux_guest

GRUB = "/boot/grub/grub.cfg"
NOCLOUD = "cc:{'datasource_list':['NoCloud']} end_cc"


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (NOCLOUD, ["NoCloud"]),
        ("cc: datasource_list: [ NoCloud ] end_cc quiet", ["NoCloud"]),
        ("cc:%7Bdatasource_list: [Ec2, None]%7D end_cc", ["Ec2", "None"]),
        ("cc:ssh_pwauth: false end_cc", ["OpenStack"]),
        ("cc:ssh_pwauth: false\\\\ndatasource_list: [None] end_cc", ["None"]),
        ("acc:{'datasource_list':['NoCloud']}", ["OpenStack"]),
        ("cc:[ end_cc", ["OpenStack"]),
    ],
)
def test_the_command_line_has_the_last_word(arguments: str, names: list[str]) -> None:
    files = debian()
    text = files[GRUB]
    assert isinstance(text, str)
    files[GRUB] = text.replace(" ro ", f' ro "{arguments}" ')
    guest = linux_guest(files)
    assert cloud_init.settings(guest)["datasource_list"] == names
    place = cloud_init.where(guest, "datasource_list")
    assert place.endswith("99_openstack.cfg" if names == ["OpenStack"] else "line 3, after cc:")
    found, _ = check_guest(guest)
    fixes = [f.fix or "" for f in found if f.rule == "IMS827"]
    assert all("remove cc:" in fix for fix in fixes)
    assert len(fixes) == (names != ["OpenStack"])


@pytest.mark.parametrize(("argument", "found"), [
    ("ip=10.0.0.5::10.0.0.1:255.255.255.0:web:eth0:none", True),
    ("ip=10.0.0.5:::::eth0:off", True),
    ("ip=dhcp", False), ("ip=eth0:dhcp", False), ("ip=:::::eth0:dhcp", False),
    ("ip=10.0.0.5::10.0.0.1:255.255.255.0:web:eth0:dhcp", False),
])  # fmt: skip
def test_a_fixed_address_may_stand_on_the_command_line(argument: str, found: bool) -> None:
    assert (argument in bad(argument).get("IMS822", ("", ""))[1]) is found


OVF = {"/var/lib/cloud/seed/ovf/ovf-env.xml": "<Environment/>"}


@pytest.mark.parametrize(("names", "label", "more", "said"), [
    ("[ NoCloud, OpenStack ]", "CIDATA", {}, "CIDATA"), ("[ NoCloud, OpenStack ]", "cidata", {}, "cidata"),
    ("[ ConfigDrive, OpenStack ]", "config-2", {}, "config-2"), ("[ OpenStack, NoCloud ]", "cidata", {}, None),
    ("[ NoCloud, OpenStack ]", "config-2", {}, None), ("[ OpenStack ]", "CIDATA", OVF, None),
    ("[ OVF, OpenStack ]", "data", OVF, "ovf-env.xml"), ("[ OVF, OpenStack ]", "data", {}, None),
])  # fmt: skip
def test_a_seed_that_was_left_is_found_where_it_is_asked_first(
    names: str, label: str, more: dict[str, str], said: str | None
) -> None:
    files = {path: text.replace("[ OpenStack ]", names) if path.endswith(".cfg") and isinstance(text, str) else text
             for path, text in debian().items()}  # fmt: skip
    seed = Volume("partition 2", 1 << 30, 1 << 20, "FAT", "AAAA-BBBB", label, clean=True)
    found, _ = check_guest(linux_guest({**files, **more}, volumes=(ROOT, seed)))
    assert [said in f.message for f in found if f.rule == "IMS827"] == ([True] if said else [])
