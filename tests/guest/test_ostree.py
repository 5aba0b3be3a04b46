"""ostree systems: the deployment that the entry names becomes /, with its /var and /boot."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.chain.values import Boot
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.model import Guest, Volume
from imsprep.guest.ostree import deployment
from imsprep.guest.tree import Tree
from imsprep.image.volumes.partitions import BIOS_BOOT
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import (
    ELF_X86_64,
    UUID,
    Link,
    MemoryFileSystem,
    cpio,
    drivers,
    inspected,
    modules,
)

CORE = Volume("partition 1", 1 << 20, 1 << 20, "unknown", part_type=BIOS_BOOT)
KERNEL, SUM, HASH = "6.11.4-301.fc41.x86_64", "a" * 64, "b" * 64
BOOT = Volume("partition 3", 1 << 20, 1 << 28, "ext4", "22222222-2222-4333-8444-555555555555",
              "boot", clean=True)  # fmt: skip
ROOT = Volume("partition 4", 1 << 29, 1 << 29, "XFS", UUID, "root", clean=True)
DISK = (CORE, BOOT, ROOT)
FOLDER = f"/ostree/deploy/os/deploy/{HASH}.0"
ENTRY = "/loader.1/entries/ostree-1.conf"
ARGUMENTS = f"root=UUID={UUID} rw ostree=/ostree/boot.1/os/{SUM}/0 console=ttyS0"
# As the CoreOS family's grub.cfg begins.
GRUB = """if [ -d (md/md-boot)/grub2 ]; then
  set boot=md/md-boot
else
  search --label boot --set boot --no-floppy
fi
set root=$boot
set ignition_firstboot=""
if [ -f "/ignition.firstboot" ]; then
  source "/ignition.firstboot"
  set ignition_firstboot="ignition.firstboot"
fi
blscfg
"""


def trees(arguments: str = ARGUMENTS, **deployed: Any) -> dict[str, dict[str, Any]]:
    boot = {
        "/grub2/grub.cfg": GRUB, "/loader": Link("loader.1"), "/boot": Link("."),
        "/ignition.firstboot": "",
        ENTRY: f"title OS 41 (ostree:0)\nversion 1\noptions {arguments}\n"
               f"linux /ostree/os-{SUM}/vmlinuz-{KERNEL}\ninitrd /ostree/os-{SUM}/initramfs-{KERNEL}.img\n",
        f"/ostree/os-{SUM}/vmlinuz-{KERNEL}": b"MZ",
        f"/ostree/os-{SUM}/initramfs-{KERNEL}.img": cpio({"etc/initrd-release": b"", **drivers(KERNEL)}),
    }  # fmt: skip
    files = {
        "/usr/lib/os-release": 'ID=fedora\nVERSION_ID=41\nPRETTY_NAME="OS 41"\n',
        "/etc/os-release": Link("../usr/lib/os-release"), "/usr/bin/env": ELF_X86_64,
        "/usr/sbin/NetworkManager": ELF_X86_64, "/usr/bin/cloud-init": "#!/usr/bin/python3\n",
        "/etc/systemd/system/cloud-init.target.wants/cloud-init.service": Link("/x"),
        "/lib": Link("usr/lib"),
        f"/usr/lib/modules/{KERNEL}/modules.dep": modules(KERNEL)[f"/lib/modules/{KERNEL}/modules.dep"],
        **deployed,
    }  # fmt: skip
    root = {
        "/boot/.keep": "", "/ostree/boot.1": Link("boot.1.1"),
        f"/ostree/boot.1.1/os/{SUM}/0": Link(f"../../../deploy/os/deploy/{HASH}.0"),
        "/ostree/deploy/os/var/lib/cloud/instances/i-1/x": "",
        **{f"{FOLDER}{path}": content for path, content in files.items()},
    }  # fmt: skip
    return {BOOT.name: boot, ROOT.name: root}


def found(guest: Guest) -> dict[str, str]:
    findings, _ = check_guest(guest, os_version=None)
    return {f.rule: f.message for f in findings if f.severity > Severity.NOTE}


def test_the_deployment_that_starts_is_looked_into() -> None:
    guest = inspected(DISK, trees())
    assert (guest.system, guest.root, guest.machine) == ("linux", ROOT.name, "x86_64")
    assert guest.ostree == {f"/ostree/boot.1/os/{SUM}/0": FOLDER}
    bad = found(guest)
    assert list(bad) == ["IMS829"], "what is in the shared /var counts too"
    assert "/var/lib/cloud/instances/i-1" in bad["IMS829"]
    assert Guest.from_dict(guest.as_dict()) == guest


def test_its_own_etc_is_judged() -> None:
    fstab = "UUID=99999999-2222-4333-8444-555555555555 /data xfs defaults 0 0\n"
    assert "/data" in found(inspected(DISK, trees(**{"/etc/fstab": fstab})))["IMS811"]


def test_an_entry_without_its_deployment_is_found() -> None:
    arguments = ARGUMENTS.replace(f"os/{SUM}", f"os/{'c' * 64}")
    bad = found(inspected(DISK, trees(arguments)))
    assert f"ostree=/ostree/boot.1/os/{'c' * 64}/0 leads to no deployment" in bad["IMS813"]


def test_of_several_deployments_without_links_none_is_guessed() -> None:
    files = trees()
    root = {p: c for p, c in files[ROOT.name].items() if not p.startswith("/ostree/boot.1")}
    one = inspected(DISK, {**files, ROOT.name: root})
    assert (one.system, one.ostree) == ("linux", {})
    assert "IMS813" not in found(one)
    other = {p.replace(HASH, "d" * 64): c for p, c in root.items()}
    two = inspected(DISK, {**files, ROOT.name: {**root, **other}})
    assert two.system is None
    assert "no deployment is named" in two.unread[0]
    assert found(two) == {}


def test_ignition_stands_for_cloud_init_and_has_to_ask_openstack() -> None:
    without = {"/usr/bin/cloud-init": "", "/etc/shadow": "root:!:1::::::\n"}
    for platform, rules in (("openstack", set()), ("metal", {"IMS827"})):
        files = trees(f"{ARGUMENTS} ignition.platform.id={platform}", **without)
        root = files[ROOT.name]
        del (
            root[f"{FOLDER}/usr/bin/cloud-init"],
            root["/ostree/deploy/os/var/lib/cloud/instances/i-1/x"],
        )
        assert found(inspected(DISK, files)).keys() == rules


class Closed(MemoryFileSystem):
    def names(self, directory: Any) -> Any:
        raise UnreadableError("it is damaged")


def test_a_folder_that_cannot_be_listed_is_no_deployment() -> None:
    tree = Tree({"/": Closed(trees()[ROOT.name])})
    with pytest.raises(UnreadableError, match="damaged"):
        deployment(tree, Boot())


def test_a_root_without_a_reader_stays_unknown() -> None:
    closed = dataclasses.replace(ROOT, kind="EROFS", unread="no reader for EROFS")
    guest = inspected((BOOT, closed), {BOOT.name: trees()[BOOT.name]})
    assert guest.system is None
    assert found(guest) == {}
