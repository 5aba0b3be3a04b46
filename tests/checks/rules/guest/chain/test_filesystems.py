"""The types and drivers of what is mounted."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import ROOT, UUID, VIRTIO, cpio, debian, drivers, linux_guest

E = Severity.ERROR
DATA = Volume("partition 2", 1 << 20, 1 << 20, "ext4", "99999999-2222-4333-8444-555555555555")
ESP = Volume("partition 3", 1 << 20, 1 << 20, "FAT", "1A2B-3C4D", clean=True)


def bad(fstab: str, **more: Any) -> dict[str, tuple[Severity, str]]:
    text = f"UUID={UUID} / ext4 defaults 0 1\n{fstab}\n"
    guest = linux_guest({**debian(), "/etc/fstab": text, **more}, volumes=(ROOT, ESP))
    found, _ = check_guest(guest)
    return {f.rule: (f.severity, f.message) for f in found if f.severity > Severity.NOTE}


def test_the_type_of_a_root_that_is_only_mounted_again_does_no_harm() -> None:
    guest = linux_guest({**debian(), "/etc/fstab": f"UUID={UUID} / xfs defaults 0 1\n"})
    assert check_guest(guest)[0] == []


@pytest.mark.parametrize(("kind", "found"), [
    ("exr4", True), ("ext3", False), ("auto", False), ("fuse.ext4fuse", False), ("lustre", False),
    ("none", False), ("ext4,exr4", False), ("xfs,zzz", True), ("xfs,auto", False),
])  # fmt: skip
def test_a_type_that_is_none_mounts_nothing(kind: str, found: bool) -> None:
    text = f"UUID={UUID} / ext4 defaults 0 1\nUUID={DATA.uuid} /data {kind} defaults 0 2\n"
    said, _ = check_guest(linux_guest({**debian(), "/etc/fstab": text}, volumes=(ROOT, DATA)))
    assert [f.severity for f in said if f.rule == "IMS847"] == [E] * found


def test_a_rootfstype_of_another_file_system_stops_the_boot() -> None:
    grub = debian()["/boot/grub/grub.cfg"]
    assert isinstance(grub, str)
    for kind, rules in (("xfs", {"IMS847"}), ("ext4", set()), ("ext3,xfs", set()), ("auto", set())):
        text = grub.replace(" ro ", f" ro rootfstype={kind} ")
        assert bad("", **{"/boot/grub/grub.cfg": text}).keys() == rules


@pytest.mark.parametrize(("kind", "found"), [("ext4", True), ("XFS", True), ("btrfs", False)])
def test_a_subvolume_of_a_root_that_is_no_btrfs_is_found(kind: str, found: bool) -> None:
    path = "/boot/grub/grub.cfg"
    grub = debian()[path]
    assert isinstance(grub, str)
    files = {**debian(), path: grub.replace(" ro ", " ro rootflags=noatime,subvol=@rootfs ")}
    guest = linux_guest(files, volumes=(dataclasses.replace(ROOT, kind=kind),))
    said = [f.message for f in check_guest(guest)[0] if f.rule == "IMS847"]
    assert ["names the subvolume @rootfs" in message for message in said] == [True] * found


VERSION = "4.19.0-27-amd64"
MOUNTS_FAT = "UUID=1A2B-3C4D /boot/efi vfat umask=0077 0 1"


def lists(modules: str, builtin: str = "ext4", filler: int = 200) -> dict[str, str | None]:
    """The lists of a kernel's drivers, as long as real ones."""
    folder = f"/lib/modules/{VERSION}"
    names = [*modules.split(), *VIRTIO, *(f"d{n}" for n in range(filler))]
    return {f"{folder}/modules.dep": "".join(f"kernel/fs/{n}.ko.xz:\n" for n in names),
            f"{folder}/modules.builtin": "".join(f"kernel/fs/{n}.ko\n" for n in builtin.split())}  # fmt: skip


@pytest.mark.parametrize(("lists", "found"), [
    (lists("xfs"), True),
    (lists("vfat"), False),
    (lists("xfs", "ext4 vfat"), False),
    (lists("xfs", "jfs"), False),  # of the root's driver they tell nothing
    (lists("xfs", filler=3), False),
    (lists("xfs", ""), False),
])  # fmt: skip
def test_the_kernel_has_to_have_a_driver_for_what_is_mounted(
    lists: dict[str, str], found: bool
) -> None:
    assert list(bad(MOUNTS_FAT, **lists)) == ["IMS854"] * found
    assert bad(MOUNTS_FAT.replace("umask", "nofail,umask"), **lists) == {}


@pytest.mark.parametrize(("config", "found"), [
    ("CONFIG_EXT4_FS=y\nCONFIG_VFAT_FS=m\n", True), ("CONFIG_EXT4_FS=y\nCONFIG_VFAT_FS=y\n", False),
    ("", False),
])  # fmt: skip
def test_a_kernel_without_modules_has_what_its_configuration_builds_in(
    config: str, found: bool
) -> None:
    files = {k: v for k, v in debian().items() if not k.startswith("/lib/modules/")}
    text = f"UUID={UUID} / ext4 defaults 0 1\n{MOUNTS_FAT}\n"
    guest = linux_guest({**files, "/etc/fstab": text, f"/boot/config-{VERSION}": config},
                        volumes=(ROOT, ESP))  # fmt: skip
    errors = [f.rule for f in check_guest(guest)[0] if f.severity is E]
    assert errors == ["IMS854"] * found


CIS = "/etc/modprobe.d/cis.conf"


@pytest.mark.parametrize(("more", "found"), [
    ({CIS: "install vfat /bin/true\n"}, True),
    ({CIS: "blacklist vfat\n"}, True),  # the kernel asks for fs-vfat, which is an alias
    ({CIS: "blacklist vfat\n", "/etc/modules": "# at boot\nvfat\n"}, False),
    ({CIS: "blacklist vfat\n", "/etc/modules-load.d/esp.conf": "vfat\n"}, False),
    ({CIS: "install vfat /bin/false\n", "/etc/modules": "vfat\n"}, True),
    ({CIS: "# install vfat /bin/true\ninstall cramfs /bin/true\ninstall ext4 /bin/true\n"}, False),
    ({CIS: "install vfat /bin/true\n", **lists("xfs", "ext4 vfat")}, False),
])  # fmt: skip
def test_a_driver_that_may_not_load_mounts_nothing(more: dict[str, str], found: bool) -> None:
    files = {**lists("vfat xfs"), **more}
    assert list(bad(MOUNTS_FAT, **files)) == ["IMS854"] * found
    if found:
        severity, message = bad(MOUNTS_FAT, **files)["IMS854"]
        assert severity is E
        assert message.endswith(f"{CIS} keeps its driver vfat from loading")
        assert bad(MOUNTS_FAT.replace("umask", "nofail,umask"), **files) == {}


def test_a_driver_that_the_initramfs_loads_by_its_name_is_there() -> None:
    loads = {**drivers(VERSION), "etc/modules-load.d/esp.conf": b"vfat\n"}
    files = {**lists("vfat xfs"), CIS: "blacklist vfat\n"}
    initrd = f"/boot/initrd.img-{VERSION}"
    assert bad(MOUNTS_FAT, **files, **{initrd: cpio(loads)}) == {}
    assert list(bad(MOUNTS_FAT, **files, **{initrd: cpio(drivers(VERSION))})) == ["IMS854"]
