"""The rules of IMS8xx: a well-prepared system has no finding, each planted fault its own."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from imsprep.checks.registry import all_rules
from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.routes import find_routes
from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.fs.volumes import Found
from imsprep.guest.inspect import Opened, World, read_linux
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.model import Guest, Volume, overlap
from imsprep.guest.paths import PATTERN_LIMIT, TEXT_LIMIT
from imsprep.guest.tree import Tree
from imsprep.image.volumes.partitions import BIOS_BOOT
from imsprep.report import Severity
from tests.support.guest.faults import (
    CLOUD,
    FAULTS,
    FSTAB,
    GRUB,
    INITRD,
    KERNEL,
    LINUX,
    MISSING_UUID,
    PASSWORD,
    E,
    N,
    W,
)
from tests.support.guest.rules import check_guest as check
from tests.support.guest.trees import (
    UUID,
    VIRTIO,
    Link,
    MemoryFileSystem,
    MemoryNode,
    debian,
    kernel,
    linux_guest,
)


def found(files: Mapping[str, Any], **request: Any) -> dict[str, Severity]:
    return {f.rule: f.severity for f in check(linux_guest(files), **request)[0]}


def test_a_well_prepared_system_has_no_finding() -> None:
    findings, skipped = check(linux_guest(debian()))
    assert findings == []
    assert skipped == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(name: str) -> None:
    changes, rule, severity = FAULTS[name]
    files = {**debian(), **changes}
    for path, content in changes.items():
        if content is None:
            del files[path]
    assert found(files) == {rule: severity}


@pytest.mark.parametrize("name", FAULTS)
def test_before_each_step_a_planted_fault_is_found_or_skipped_and_nothing_else(name: str) -> None:
    changes = FAULTS[name][0]
    files = {p: c for p, c in {**debian(), **changes}.items() if changes.get(p, c) is not None}
    filesystem, told = MemoryFileSystem(files), list[Guest]()
    volume = linux_guest({}).volumes[0]
    root = Opened(Found(volume, io.BytesIO()), filesystem)
    devices = Devices((volume,), {volume.name: [Tree({"/": filesystem})]})
    boot = find_routes(devices, b"GRUB".ljust(512, b"\0"))
    known = Guest(table="mbr", boot_code=True, volumes=(volume,), boot=boot)
    world = World([root], devices, Allowance())
    whole = read_linux(known, Tree({"/": filesystem}), root, world, told.append)
    fired = {f.rule for f in check(whole)[0]}
    assert fired
    assert len(told) == 5
    for guest in told:
        findings, skipped = check(dataclasses.replace(guest, unread=("stuck",)))
        part = {f.rule for f in findings}
        assert part <= fired <= part | {s.rule for s in skipped}


def test_no_rule_speaks_when_nobody_looked_inside() -> None:
    findings, skipped = check(None)
    assert findings == []
    assert {skip.reason for skip in skipped} == {"the inside of the image was not examined"}
    assert {"IMS801", "IMS814", "IMS830"} <= {skip.rule for skip in skipped}


def test_what_could_not_be_read_is_skipped_with_its_reason() -> None:
    volume = Volume("partition 1", 0, 1, "btrfs", unread="cannot read btrfs: no reader")
    guest = Guest(volumes=(volume,), unread=("partition 1: cannot read btrfs: no reader",))
    findings, skipped = check(guest)
    assert findings == []
    reasons = {skip.rule: skip.reason for skip in skipped}
    assert "cannot read btrfs: no reader" in reasons["IMS814"]
    assert "cannot read btrfs: no reader" in reasons["IMS808"]


def test_an_initramfs_that_cannot_be_read_is_skipped_and_not_passed() -> None:
    files = {**debian(), INITRD: b"no initramfs at all, but something else\n"}
    _, skipped = check(linux_guest(files))
    assert {"IMS814", "IMS815", "IMS821"} <= {skip.rule for skip in skipped}


def test_what_a_kernel_lacks_that_does_not_start_by_default_is_no_finding() -> None:
    other = "5.10.0-1-amd64"
    files = {**debian(), **kernel(other, f"/boot/initrd.img-{other}", ["virtio_net"])}
    assert found(files) == {}
    files[GRUB] = files[GRUB].replace(KERNEL, other)
    assert found(files) == {"IMS814": E, "IMS815": N}


class Broken(MemoryFileSystem):
    """A file system with folders that cannot be read."""

    def __init__(self, files: Mapping[str, Any], *folders: str) -> None:
        super().__init__(files)
        self.broken: list[Any] = []
        self.broken = [Tree({"/": self}).find(folder) for folder in folders]

    def fail(self, directory: MemoryNode) -> None:
        if any(place is not None and place.node is directory for place in self.broken):
            raise UnreadableError("checksum mismatch")

    def child(self, directory: MemoryNode, name: str) -> MemoryNode | None:
        self.fail(directory)
        return super().child(directory, name)

    def names(self, directory: MemoryNode) -> Iterable[str]:
        self.fail(directory)
        return super().names(directory)


@pytest.mark.parametrize(
    ("folder", "rules"),
    [
        ("/etc/ssh", {"IMS831", "IMS838"}),
        ("/root", {"IMS830", "IMS833"}),
        ("/var/log", {"IMS834"}),
        ("/etc/cloud", {"IMS826", "IMS827", "IMS828"}),
        ("/etc/network", {"IMS822", "IMS823"}),
        ("/boot/grub", {"IMS812", "IMS813", "IMS817"}),
        ("/boot", {"IMS812", "IMS814", "IMS816", "IMS821"}),
        ("/lib/modules", {"IMS821"}),
        ("/usr/bin", {"IMS825", "IMS836"}),
    ],
)
def test_a_folder_that_cannot_be_read_is_never_passed(folder: str, rules: set[str]) -> None:
    files = {**debian(), f"{folder}/.keep": "", "/home/ann/.bashrc": ""}
    guest = linux_guest(Broken(files, folder))
    _, skipped = check(guest)
    assert rules <= {skip.rule for skip in skipped}
    assert any("checksum mismatch" in skip.reason for skip in skipped)


def test_more_homes_than_are_looked_at_are_told() -> None:
    homes = {f"/home/u{number:03}/.bash_history": "x" for number in range(PATTERN_LIMIT + 1)}
    findings, skipped = check(linux_guest({**debian(), **homes}))
    assert len([f for f in findings if f.rule == "IMS833"]) == PATTERN_LIMIT
    assert [s.rule for s in skipped] == ["IMS833"]


def test_a_text_that_is_cut_is_not_taken_for_whole() -> None:
    files = {**debian(), "/etc/fstab": "#" * (TEXT_LIMIT + 1)}
    _, skipped = check(linux_guest(files))
    assert {"IMS810", "IMS811"} <= {s.rule for s in skipped}


def test_every_kernel_is_looked_at_or_told() -> None:
    versions = [f"5.{number}.0-1-amd64" for number in range(20)]
    files = debian()
    for version in versions:
        files |= kernel(version, f"/boot/initrd.img-{version}")
    guest = linux_guest(files)
    assert [k.version for k in guest.kernels] == versions[:3:-1], (
        "numbers, not letters, make newest"
    )
    findings, skipped = check(guest)
    assert findings == []
    assert {"IMS821"} == {s.rule for s in skipped}
    assert "the newest 16 of 21 kernels" in skipped[0].reason


def test_a_kernel_that_no_entry_starts_is_no_finding() -> None:
    assert found({**debian(), "/boot/vmlinuz-5.4.1": b"MZ"}) == {}
    assert found({**debian(), "/boot/vmlinuz-0-rescue-0123": b"MZ"}) == {}
    assert found({**debian(), f"/boot/vmlinuz-{KERNEL}.old": b"MZ"}) == {}


def test_a_driver_that_is_built_in_needs_no_initramfs() -> None:
    files = {k: v for k, v in debian().items() if k != INITRD}
    lines = "".join(f"kernel/drivers/{name}.ko\n" for name in VIRTIO)
    files[f"/lib/modules/{KERNEL}/modules.builtin"] = lines
    files[GRUB] = f"linux /boot/vmlinuz-{KERNEL} root=PARTUUID=aa-01 console=ttyS0\n"
    volumes = (dataclasses.replace(ROOT, part_uuid="aa-01"),)
    assert check(linux_guest(files, volumes=volumes))[0] == []
    del files[f"/lib/modules/{KERNEL}/modules.builtin"]
    assert [f.rule for f in check(linux_guest(files, volumes=volumes))[0]] == ["IMS816"]


@pytest.mark.parametrize(
    ("asked", "severity"),
    [
        ("Debian GNU/Linux 10.0.0 64bit", None),
        ("Other(64 bit)", None),
        ("Debian GNU/Linux 9.0.0 64bit", W),
        ("CentOS 7.6 64bit", E),
        ("CentOS 6.10 32bit", E),
    ],
)
def test_os_version_is_compared_with_the_image(asked: str, severity: Severity | None) -> None:
    assert found(debian(), os_version=asked).get("IMS801") == severity


@pytest.mark.parametrize(
    ("asked", "severity"), [("CentOS 8.0 64bit", W), ("Debian GNU/Linux 12.0.0 64bit", E)]
)
def test_a_system_that_is_not_listed_may_go_as_a_relative(asked: str, severity: Severity) -> None:
    like = 'ID=rocky\nVERSION_ID="9.4"\nID_LIKE="rhel centos fedora"\n'
    assert found({**debian(), "/etc/os-release": like}, os_version=asked)["IMS801"] == severity


ESP = Volume("partition 1", 1 << 20, 64 << 20, "FAT", "ABCD-1234", clean=True,
             part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b")  # fmt: skip
ROOT = Volume("partition 2", 65 << 20, 1 << 30, "ext4", UUID, clean=True)


@pytest.mark.parametrize(
    ("loader", "severity"),
    [
        ("/boot/efi/EFI/BOOT/BOOTX64.EFI", None),
        ("/efi/EFI/Boot/bootx64.efi", None),
        ("/boot/efi/EFI/BOOT/BOOTIA32.EFI", E),
        ("/boot/efi/EFI/debian/grubx64.efi", E),
        ("/boot/efi/EFI/debian/grub.cfg", E),
    ],
)
def test_a_uefi_loader_must_be_where_firmware_looks(loader: str, severity: Severity | None) -> None:
    files = {**debian(), loader: b"MZ"}
    guest = linux_guest(files, table="gpt", boot_code=False, volumes=(ESP, ROOT))
    for asked in ({"hw_firmware_type": "uefi"}, {}):
        found = {f.rule: f.severity for f in check(guest, **asked)[0]}
        assert found == ({"IMS804": severity} if severity else {})


def test_an_arm_server_starts_another_fallback() -> None:
    files = {**debian(), "/boot/efi/EFI/BOOT/BOOTX64.EFI": b"MZ"}
    guest = linux_guest(files, table="gpt", volumes=(ESP, ROOT), machine="aarch64")
    (finding,) = [f for f in check(guest, architecture="arm")[0] if f.rule == "IMS804"]
    assert finding.expected == "EFI/BOOT/BOOTAA64.EFI"


LUKS = Volume("partition 3", 2 << 30, 1 << 30, "LUKS")
TABLE = {"/etc/fstab": f"{FSTAB}UUID={MISSING_UUID} /data xfs defaults 0 2\n",
         GRUB: f"{LINUX} root=UUID={MISSING_UUID} ro console=ttyS0\n"}  # fmt: skip


@pytest.mark.parametrize("rule", ["IMS811", "IMS813"])
def test_a_volume_that_may_be_inside_another_is_skipped_and_not_passed(rule: str) -> None:
    seen = linux_guest({**debian(), **TABLE}, volumes=(ROOT,))
    assert rule in {f.rule for f in check(seen)[0]}
    findings, skipped = check(linux_guest({**debian(), **TABLE}, volumes=(ROOT, LUKS)))
    assert rule not in {f.rule for f in findings}
    assert "partition 3 (LUKS)" in {s.rule: s.reason for s in skipped}[rule]


@pytest.mark.parametrize("arguments", ["ro quiet console=ttyS0", "$kernelopts console=ttyS0"])
def test_a_boot_entry_that_names_no_root_is_skipped_and_not_passed(arguments: str) -> None:
    """Where it is not known how the initramfs finds one."""
    other = {"/etc/os-release": 'ID=own\nNAME="Own Linux"\n', GRUB: f"{LINUX} {arguments}\n"}
    files = {p: t for p, t in debian().items() if p != "/etc/debian_version"}
    findings, skipped = check(linux_guest({**files, **other}), os_version="Other")
    assert {f.rule for f in findings} <= {"IMS802"}
    assert [s.rule for s in skipped] == ["IMS813"]


def test_a_file_system_that_does_not_tell_whether_it_is_clean_is_skipped() -> None:
    silent = Volume("partition 2", 0, 1, "XFS", clean=None)
    dirty = Volume("partition 3", 0, 1, "ext4", clean=False)
    root = linux_guest(debian()).volumes[0]
    findings, skipped = check(linux_guest(debian(), volumes=(root, silent, dirty)))
    assert [f.message for f in findings] == ["ext4 on partition 3 was not unmounted cleanly"]
    assert [s.reason for s in skipped] == ["XFS on partition 2 does not say whether it is clean"]


def test_grub_needs_a_bios_boot_partition_on_gpt() -> None:
    guest = linux_guest(debian(), table="gpt")
    assert {f.rule for f in check(guest)[0]} == {"IMS804"}
    boot = Volume(
        "partition 1", 1 << 20, 1 << 20, "unknown", part_type="21686148-6449-6e6f-744e-656564454649"
    )
    assert check(linux_guest(debian(), table="gpt", volumes=(boot, ROOT)))[0] == []


@pytest.mark.parametrize(
    ("volume", "rule", "severity"),
    [
        (Volume("LVM vg0/data", -1, 1, "LUKS"), "IMS805", E),
        (Volume("partition 2", 0, 1, "ext4", clean=False), "IMS806", W),
    ],
)
def test_volumes_are_looked_at(volume: Volume, rule: str, severity: Severity) -> None:
    root = linux_guest(debian()).volumes[0]
    findings, _ = check(linux_guest(debian(), volumes=(root, volume)))
    assert [(f.rule, f.severity) for f in findings] == [(rule, severity)]


def test_an_image_without_a_system_is_an_error_unless_it_is_a_data_disk() -> None:
    guest = Guest(volumes=(Volume("whole disk", 0, 1 << 30, "XFS"),))
    assert [f.rule for f in check(guest)[0]] == ["IMS808"]
    assert check(guest, type="DataImage")[0] == []


def test_every_rule_has_a_fix_and_a_source() -> None:
    rules = [rule for rule in all_rules() if rule.id.startswith("IMS8")]
    assert len(rules) >= 30
    for rule in rules:
        assert rule.fix
        assert rule.why
        assert rule.source


def test_a_dead_link_is_no_file() -> None:
    assert found({**debian(), "/root/.bash_history": Link("/dev/null")}) == {}


def test_what_an_image_says_cannot_command_a_terminal() -> None:
    evil = "/home/\x1b]0;owned\x07\udcff/.bash_history"
    findings, _ = check(linux_guest({**debian(), evil: "x"}))
    assert [f.rule for f in findings] == ["IMS833"]
    assert all(f.message.isprintable() for f in findings)
    assert findings[0].message.encode()


@pytest.mark.parametrize(
    ("gap", "pattern", "overlaps"),
    [
        ("/boot/**", "/boot/grub/grub.cfg", True),
        ("/boot/**", "/boot", False),
        ("/usr/**", "/user/x", False),
        ("/home/*/.bash_history", "/home/*/.*_history", True),
        ("/home/ann/.ssh", "/home/*/.ssh", True),
        ("/etc/fstab", "/etc/fstab.d", False),
    ],
)
def test_a_gap_is_for_the_patterns_that_it_could_fit(
    gap: str, pattern: str, overlaps: bool
) -> None:
    assert overlap(gap, pattern) is overlaps


def test_an_initramfs_that_is_not_read_to_its_end_is_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imsprep.guest.linux.initramfs_actions.SIZE_LIMIT", 4096)
    _, skipped = check(linux_guest({**debian(), INITRD: bytes(5000)}))
    assert {"IMS814", "IMS815", "IMS821"} <= {s.rule for s in skipped}


def test_a_cloud_init_that_does_not_run_brings_no_network_up() -> None:
    files = {
        **debian(), **PASSWORD, "/etc/network/interfaces": "auto lo\niface lo inet loopback\n",
        CLOUD: "datasource_list: [ OpenStack ]\n",
    }  # fmt: skip
    assert "IMS824" not in found(files)
    assert "IMS824" in found({**files, "/etc/cloud/cloud-init.disabled": ""})


def test_a_disk_that_need_not_be_there_is_a_note_by_whatever_name() -> None:
    files = {**debian(), "/etc/fstab": f"{FSTAB}/dev/sdb1 /data xfs nofail 0 2\n"}
    assert found(files) == {"IMS811": N}


@pytest.mark.parametrize(
    ("volume", "fires"),
    [
        (Volume("partition 1", 0, 1, "LUKS"), False),
        (Volume("partition 1", 0, 1, "BitLocker"), False),
        (Volume("partition 1", 0, 1, "unknown"), False),
        (Volume("partition 1", 0, 1, "unknown", part_type=BIOS_BOOT), True),
        (Volume("partition 1", 0, 1, "swap"), True),
        (Volume("partition 1", 0, 1, "ext journal"), True),
    ],
)
def test_a_system_that_nobody_could_see_is_not_called_absent(volume: Volume, fires: bool) -> None:
    findings, skipped = check(Guest(volumes=(volume,), table="gpt"))
    assert ("IMS808" in {f.rule for f in findings}) is fires
    assert ("IMS808" in {s.rule for s in skipped}) is not fires


def test_a_bare_disk_of_which_nothing_is_known_holds_no_system() -> None:
    guest = Guest(volumes=(Volume("whole disk", 0, 1, "unknown"),))
    assert "IMS808" in {f.rule for f in check(guest)[0]}


def test_what_a_journal_holds_may_be_the_system() -> None:
    dirty = Volume("partition 1", 1 << 20, 1 << 30, "XFS", UUID, clean=False)
    for volume, fires in ((dirty, False), (dataclasses.replace(dirty, clean=True), True)):
        findings, skipped = check(Guest(table="gpt", boot_code=True, volumes=(volume,)))
        assert ("IMS808" in {f.rule for f in findings}) is fires
        assert ("IMS808" in {s.rule for s in skipped}) is not fires
