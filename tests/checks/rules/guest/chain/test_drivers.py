"""The drivers of the kernel that starts: in its initramfs, and installed."""

from __future__ import annotations

import dataclasses
import gzip
import lzma

import pytest

from imsprep.report import Severity
from tests.support.guest.rules import bad, check_guest
from tests.support.guest.trees import (
    ROOT,
    UUID,
    VIRTIO,
    cpio,
    debian,
    drivers,
    linux_guest,
    modules,
)

VERSION, OTHER = "4.19.0-27-amd64", "4.19.0-26-amd64"
GRUB = "/boot/grub/grub.cfg"
INITRD = f"/boot/initrd.img-{VERSION}"
GENTOO, CONFIG = {"/etc/os-release": "ID=gentoo\nNAME=Gentoo\n"}, f"/boot/config-{VERSION}"
E, W = Severity.ERROR, Severity.WARNING


def test_an_initramfs_of_another_kernel_has_no_driver_for_this_one() -> None:
    found = bad(**{INITRD: cpio(drivers(OTHER))})
    assert found["IMS814"][1] == f"{INITRD} holds drivers for kernel {OTHER}, and {VERSION} starts"
    both = cpio({**drivers(OTHER), **drivers(VERSION)})
    assert bad(**{INITRD: both}) == {}


def test_an_initramfs_of_another_kernel_does_no_harm_where_the_drivers_are_built_in() -> None:
    built_in = "".join(f"kernel/{name}.ko\n" for name in VIRTIO)
    lists = {**modules(VERSION, ["ext4"]), f"/lib/modules/{VERSION}/modules.builtin": built_in}
    assert bad(**{INITRD: cpio(drivers(OTHER)), **lists}) == {}


def test_a_kernel_whose_modules_are_gone_is_found() -> None:
    without = {f"/lib/modules/{VERSION}/modules.dep": None}
    found = bad(**without, **modules(OTHER))
    assert found["IMS849"][0] is W
    assert f"/lib/modules has only {OTHER}" in found["IMS849"][1]
    no_network = cpio(drivers(VERSION, [n for n in VIRTIO if n != "virtio_net"]))
    assert bad(**without, **modules(OTHER), **{INITRD: no_network})["IMS849"][0] is E
    assert bad(**without)["IMS849"][1].endswith("and /lib/modules has none")
    elsewhere = {"/etc/os-release": "ID=nixos\nNAME=NixOS\n", "/etc/debian_version": None}
    assert "IMS849" not in bad(**without, **elsewhere), "a system that keeps its modules elsewhere"


@pytest.mark.parametrize(
    "argument",
    ["rd.driver.blacklist=virtio_blk", "modprobe.blacklist=nouveau,virtio-pci", "module_blacklist=virtio"],
)  # fmt: skip
def test_a_driver_of_the_disk_that_may_not_load_is_found(argument: str) -> None:
    assert argument in bad(argument)["IMS814"][1]
    assert bad("modprobe.blacklist=nouveau,virtio_balloon") == {}


def test_an_initramfs_that_is_cut_off_is_damaged() -> None:
    whole = gzip.compress(cpio(drivers(VERSION)))
    for data in (whole[: len(whole) // 2], whole[:60] + bytes(40) + whole[100:]):
        found = bad(**{INITRD: data})
        assert list(found) == ["IMS816"]
        assert f"{INITRD} is damaged" in found["IMS816"][1]
    assert bad(**{INITRD: whole + bytes(512)}) == {}, "padding does no harm"


@pytest.mark.parametrize(("data", "said"), [(b"", "it is empty"), (bytes(9000), "only zeros")])
def test_an_initramfs_without_any_content_is_damaged_and_its_drivers_unknown(
    data: bytes, said: str
) -> None:
    found = bad(**{INITRD: data})
    assert list(found) == ["IMS816"]
    assert said in found["IMS816"][1]


@pytest.mark.parametrize(("files", "command"), [
    ({}, f"update-initramfs -c -t -k {VERSION}"),  # by the family
    ({"scripts/functions": b"x"}, f"update-initramfs -c -t -k {VERSION}"),
    ({"usr/lib/dracut/build-parameter.txt": b"x"}, f"dracut -f {INITRD} {VERSION}"),
])  # fmt: skip
def test_a_damaged_initramfs_is_made_again_by_the_tool_that_made_it(
    files: dict[str, bytes], command: str
) -> None:
    whole = cpio({**files, **drivers(VERSION)})
    damaged = gzip.compress(whole)[:-100] if files else b""
    guest = linux_guest({**debian(), INITRD: damaged})
    (fix,) = (f.fix or "" for f in check_guest(guest)[0] if f.rule == "IMS816")
    assert fix.startswith("The system does not start as it is")
    assert f"In the guest: `{command}`; or: virt-customize -a IMAGE --run-command" in fix


BUILTIN = f"/lib/modules/{VERSION}/modules.builtin"
IN_KERNEL = "".join(f"kernel/{name}.ko\n" for name in (*VIRTIO, "ext4"))


@pytest.mark.parametrize(
    ("root", "builtin", "dep", "severity", "said"),
    [
        ("/dev/vda1", IN_KERNEL, "kernel/xfs.ko:\n", None, ""),
        ("PARTUUID=1-01", IN_KERNEL, "kernel/xfs.ko:\n", None, ""),
        (f"UUID={UUID}", IN_KERNEL, "kernel/xfs.ko:\n", E, "a kernel alone finds no root by UUID="),
        ("/dev/vda1", IN_KERNEL.replace("virtio_blk", "other"), "kernel/virtio_blk.ko:\n", E,
         "virtio_blk are not built in"),
        ("/dev/vda1", IN_KERNEL, "kernel/ext4.ko:\n", E, "ext4, which mounts the root, is not built"),
        ("/dev/vda1", "", "", W, "whether the kernel can start without one is not known"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("data", [b"", bytes(512), None])
def test_a_kernel_with_its_drivers_built_in_starts_without_an_initramfs(
    root: str, builtin: str, dep: str, severity: Severity | None, said: str, data: bytes | None
) -> None:
    grub = str(debian()[GRUB]).replace(f"UUID={UUID}", root)
    if data is None:
        grub = grub.replace("\tinitrd", "\t#")
    lists = {BUILTIN: builtin, f"/lib/modules/{VERSION}/modules.dep": dep}
    volume = dataclasses.replace(ROOT, part_uuid="1-01")
    guest = linux_guest({**debian(), GRUB: grub, INITRD: data or b"", **lists}, volumes=(volume,))
    findings, skipped = check_guest(guest)
    found = [(f.severity, f.message) for f in findings if f.rule == "IMS816"]
    if severity is W and data is None:
        assert found == []
        assert "IMS816" in [s.rule for s in skipped]
    else:
        assert [one for one, _ in found] == ([severity] if severity is not None else [])
        assert all(said in message for _, message in found)


def test_what_an_initramfs_inside_the_kernel_holds_is_not_known() -> None:
    text = 'CONFIG_BLK_DEV_INITRD=y\nCONFIG_INITRAMFS_SOURCE="/usr/src/initramfs"\n'
    grub = str(debian()[GRUB]).replace("\tinitrd", "\t#")
    findings, skipped = check_guest(linux_guest({**debian(), GRUB: grub, CONFIG: text}))
    assert "IMS816" not in {f.rule for f in findings}
    assert "has an initramfs built in" in {s.rule: s.reason for s in skipped}["IMS816"]


KERNEL = "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\nCONFIG_RD_XZ=y\n# CONFIG_RD_LZMA is not set\n"


def test_a_kernel_that_was_built_without_the_compression_of_its_initramfs_is_found() -> None:
    plain = cpio(drivers(VERSION))
    by_lzma = {INITRD: lzma.compress(plain, lzma.FORMAT_ALONE)}
    found = bad(**by_lzma, **{CONFIG: KERNEL})
    assert list(found) == ["IMS861"]
    assert found["IMS861"] == (E, f"{INITRD} is packed by lzma, and /boot/vmlinuz-{VERSION} was "
                                  "built without CONFIG_RD_LZMA")  # fmt: skip
    for data in (plain, gzip.compress(plain), lzma.compress(plain), gzip.compress(plain) + plain):
        assert bad(**{INITRD: data, CONFIG: KERNEL}) == {}
    early = {INITRD: cpio({"kernel/x86/microcode.bin": b"x"}) + by_lzma[INITRD]}
    assert list(bad(**early, **{CONFIG: KERNEL})) == ["IMS861"]
    assert bad(**by_lzma, **{CONFIG: KERNEL.replace("# CONFIG_RD_LZMA is not set", "CONFIG_RD_LZMA=y")}) == {}  # fmt: skip


def test_without_a_configuration_it_is_not_known_what_a_kernel_unpacks() -> None:
    for pack, reasons in ((gzip.compress, 0), (lzma.compress, 1)):
        files = {**debian(), INITRD: pack(cpio(drivers(VERSION)))}
        found, skipped = check_guest(linux_guest(files))
        assert "IMS861" not in {f.rule for f in found}
        said = [s.reason for s in skipped if s.rule == "IMS861"]
        assert ["whether it unpacks xz" in reason for reason in said] == [True] * reasons


def test_a_kernel_that_needs_no_initramfs_goes_on_without_one_that_it_cannot_unpack() -> None:
    built_in = "".join(f"kernel/{name}.ko\n" for name in VIRTIO)
    files = {**modules(VERSION, ["ext4"]), f"/lib/modules/{VERSION}/modules.builtin": built_in,
             CONFIG: KERNEL, INITRD: lzma.compress(cpio(drivers(VERSION)), lzma.FORMAT_ALONE)}  # fmt: skip
    assert bad(**files)["IMS861"][0] is E
    alone = f"linux /boot/vmlinuz-{VERSION} root=PARTUUID=11111111-01 ro console=ttyS0\ninitrd {INITRD}\n"
    volume = dataclasses.replace(ROOT, part_uuid="11111111-01")
    found, _ = check_guest(linux_guest({**debian(), **files, GRUB: alone}, volumes=(volume,)))
    assert [f.severity for f in found if f.rule == "IMS861"] == [W]


@pytest.mark.parametrize(
    ("root", "more", "found"),
    [
        (f"UUID={UUID}", {}, True),
        ("LABEL=root", {}, True),
        ("PARTUUID=11111111-01", {}, False),
        (f"UUID={UUID}", {"/etc/os-release": "ID=flatcar\nNAME=Flatcar\n"}, False),
        (f"UUID={UUID}", {**GENTOO, CONFIG: 'CONFIG_INITRAMFS_SOURCE=""\n'}, True),
        (f"UUID={UUID}", {**GENTOO, CONFIG: "# CONFIG_BLK_DEV_INITRD is not set\n"}, True),
        (f"UUID={UUID}", {**GENTOO, CONFIG: 'CONFIG_INITRAMFS_SOURCE="/usr/src/i"\n'}, False),
    ],
)
def test_a_kernel_alone_finds_no_root_by_what_a_file_system_says(
    root: str, more: dict[str, str], found: bool
) -> None:
    built_in = "".join(f"kernel/{name}.ko\n" for name in VIRTIO)
    files = {**debian(), **modules(VERSION, ["xfs"]), **more,
             f"/lib/modules/{VERSION}/modules.builtin": built_in,
             GRUB: f"linux /boot/vmlinuz-{VERSION} root={root} ro\n"}  # fmt: skip
    if more:
        del files["/etc/debian_version"]
    volume = dataclasses.replace(ROOT, label="root", part_uuid="11111111-01")
    findings, _ = check_guest(linux_guest(files, volumes=(volume,)))
    assert ("IMS816" in {f.rule for f in findings}) is found
    assert all(root in f.message for f in findings if f.rule == "IMS816")


@pytest.mark.parametrize(("text", "rule", "severity"), [
    ("# blacklist virtio_net\nblacklist pcspkr\n", None, None),
    ("blacklist virtio-net\n", "IMS815", E), ("install virtio_blk /bin/false\n", "IMS814", W),
    ("install virtio_blk /sbin/modprobe --ignore-install virtio_blk\n", None, None),
])  # fmt: skip
def test_a_file_of_modprobe_may_keep_a_driver_from_loading(
    text: str, rule: str | None, severity: Severity | None
) -> None:
    path = "/etc/modprobe.d/own.conf"
    found = bad(**{path: text})
    assert list(found) == ([rule] if rule else [])
    assert all(s is severity and m.startswith(f"{path}: ") for s, m in found.values())


@pytest.mark.parametrize(("inside", "severity"), [
    ({"etc/modprobe.d/own.conf": b"blacklist virtio_blk\n"}, E),
    ({"usr/lib/modprobe.d/own.conf": b"# of the old machine\ninstall virtio-blk /bin/true\n"}, E),
    ({"etc/modprobe.d/own.conf": b"blacklist virtio_blk\n", "conf/modules": b"#\nvirtio_blk\n"}, None),
    ({"etc/modprobe.d/own.conf": b"install virtio_blk /bin/false\n", "conf/modules": b"virtio_blk\n"}, E),
    ({"etc/modprobe.d/own.conf": b"blacklist virtio_ring\nblacklist virtio_net\n"}, None),
    ({"etc/modprobe.d/own.txt": b"blacklist virtio_blk\n"}, None),
])  # fmt: skip
def test_the_modprobe_file_inside_the_initramfs_decides_over_the_disks_driver(
    inside: dict[str, bytes], severity: Severity | None
) -> None:
    found = bad(**{INITRD: cpio({**drivers(VERSION), **inside})})
    assert list(found) == (["IMS814"] if severity else [])
    assert all(s is severity and f"{INITRD} (its modprobe.d): " in m for s, m in found.values())


def test_what_the_system_and_its_initramfs_forbid_is_said_once() -> None:
    line = "blacklist virtio_blk\n"
    image = cpio({**drivers(VERSION), "etc/modprobe.d/own.conf": line.encode()})
    said = [
        f
        for f in check_guest(
            linux_guest({**debian(), INITRD: image, "/etc/modprobe.d/own.conf": line})
        )[0]
        if f.rule == "IMS814"
    ]
    assert [f.severity for f in said] == [E]
