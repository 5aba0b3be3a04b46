"""fstab and crypttab: names as udev writes them, types, and names of the old machine."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imsprep.guest.model import Volume
from imsprep.report import Severity
from tests.support.guest.rules import check_guest
from tests.support.guest.trees import ROOT, UUID, debian, linux_guest

E, W = Severity.ERROR, Severity.WARNING
OTHER = "22222222-aaaa-4333-8444-555555555555"
GROUP, LOGICAL = "g" * 32, "l" * 32
DATA = Volume("partition 2", 2 << 30, 1 << 29, "ext4", OTHER, "my data", part_label="Linux data",
              part_uuid=OTHER.upper(), clean=True)  # fmt: skip
ESP = Volume("partition 3", 1 << 20, 1 << 20, "FAT", "1A2B-3C4D", clean=True)
SWAP = Volume("partition 4", 1 << 20, 1 << 20, "swap", OTHER.replace("a", "b"))
VG_DATA = Volume(
    "LVM vg/data", -1, 1 << 29, "ext4", OTHER.replace("a", "c"), lvm_id=GROUP + LOGICAL
)


def bad(fstab: str, **more: Any) -> dict[str, tuple[Severity, str]]:
    text = f"UUID={UUID} / ext4 defaults 0 1\n{fstab}\n"
    volumes = (ROOT, DATA, ESP, SWAP, VG_DATA)
    guest = linux_guest({**debian(), "/etc/fstab": text, **more}, volumes=volumes)
    found, _ = check_guest(guest)
    return {f.rule: (f.severity, f.message) for f in found if f.severity > Severity.NOTE}


GOOD = [
    r"/dev/disk/by-label/my\x20data /data ext4 defaults 0 2",
    r"LABEL=my\040data /data ext4 defaults 0 2",
    r"/dev/disk/by-partlabel/Linux\x20data /data auto defaults 0 2",
    f'UUID="{OTHER}" /data ext4 defaults 0 2',
    f"PARTUUID={OTHER} /data ext3,ext4 defaults 0 2",
    "UUID=1A2B-3C4D /boot/efi msdos umask=0077 0 1",
    f"/dev/disk/by-id/dm-uuid-LVM-{GROUP}{LOGICAL} /data ext4 defaults 0 2",
    f"UUID={SWAP.uuid} none swap sw 0 0",
    f"UUID={OTHER} /data fuse.something defaults 0 2",
]


@pytest.mark.parametrize("line", GOOD)
def test_a_volume_by_any_of_its_names_is_there(line: str) -> None:
    assert bad(line) == {}


FAULTS = {
    f"UUID={OTHER.upper()} /data ext4 defaults 0 2": ("IMS811", E, f"udev writes it {OTHER}"),
    "UUID=1a2b-3c4d /boot/efi vfat umask=0077 0 1": ("IMS811", E, "udev writes it 1A2B-3C4D"),
    f"/dev/disk/by-id/dm-uuid-LVM-{GROUP}{'x' * 32} /d ext4 defaults 0 2": (
        "IMS811", E, "no logical volume of the image has that identifier"),
    "/dev/disk/by-id/md-uuid-1:2:3:4 /d ext4 defaults 0 2": ("IMS811", E, "belongs to a RAID"),
    f"UUID={OTHER} /data xfs defaults 0 2": ("IMS847", E, "partition 2 is ext4"),
    f"UUID={OTHER} none swap sw 0 0": ("IMS847", W, "partition 2 is ext4"),
}  # fmt: skip


@pytest.mark.parametrize("line", FAULTS)
def test_a_line_that_cannot_be_mounted_is_found(line: str) -> None:
    rule, severity, text = FAULTS[line]
    found = bad(line)
    assert list(found) == [rule]
    assert found[rule][0] is severity
    assert text in found[rule][1]


def test_the_command_for_letters_in_another_case_silences_the_rule(tmp_path: Path) -> None:
    line = f"UUID={OTHER.upper()} /data ext4 defaults 0 2"
    (tmp_path / "fstab").write_text(f"UUID={UUID} / ext4 defaults 0 1\n{line}\n")
    guest = linux_guest({**debian(), "/etc/fstab": (tmp_path / "fstab").read_text()},
                        volumes=(ROOT, DATA))  # fmt: skip
    fix = next(f.fix for f in check_guest(guest)[0] if f.rule == "IMS811")
    command = re.match(r"In the guest: `(sed .*?)`;", fix or "")
    assert command is not None
    script = command[1].replace("/etc/fstab", str(tmp_path / "fstab"))
    subprocess.run(["sh", "-ec", script], check=True)
    assert bad((tmp_path / "fstab").read_text().splitlines()[1]) == {}


def test_a_device_that_is_not_there_is_corrected_or_not_waited_for_before_its_line_is_removed() -> (
    None
):
    line = f"UUID={GROUP} /data ext4 defaults 0 2\n"
    guest = linux_guest({**debian(), "/etc/fstab": line}, volumes=(ROOT,))
    fix = next(f.fix for f in check_guest(guest)[0] if f.rule == "IMS811")
    assert fix is not None
    assert fix.startswith("Correct the device in line 1 of /etc/fstab, or add the option nofail;")
    assert "In the guest: `sed -i '1s/^/#/' /etc/fstab`" in fix


def test_an_identifier_of_lvm_that_was_not_read_is_unknown() -> None:
    volumes = (ROOT, dataclasses.replace(VG_DATA, lvm_id=None))
    line = f"/dev/disk/by-id/dm-uuid-LVM-{GROUP}{LOGICAL} /data ext4 defaults 0 2\n"
    own = f"UUID={UUID} / ext4 defaults 0 1\n"
    guest = linux_guest({**debian(), "/etc/fstab": own + line}, volumes=volumes)
    found, skipped = check_guest(guest)
    assert found == []
    assert "IMS811" in {s.rule for s in skipped}


def test_a_swap_that_crypttab_opens_from_a_name_of_the_old_machine_is_found() -> None:
    for source, rules in (
        ("/dev/sda2", {"IMS846"}),
        ("/dev/vda2", set()),
        (f"PARTUUID={OTHER}", set()),
    ):
        crypttab = f"cryptswap {source} /dev/urandom swap\n"
        assert bad("", **{"/etc/crypttab": crypttab}).keys() == rules


def test_two_partitions_of_one_partuuid_are_found_where_the_boot_names_it() -> None:
    twin = dataclasses.replace(DATA, part_uuid=OTHER)
    root = dataclasses.replace(ROOT, part_uuid=OTHER)
    for spec, rules in ((f"PARTUUID={OTHER}", ["IMS809"]), (f"UUID={UUID}", [])):
        files = {**debian(), "/etc/fstab": f"{spec} / ext4 defaults 0 1\n"}
        found, _ = check_guest(linux_guest(files, volumes=(root, twin)))
        assert [f.rule for f in found if f.severity > Severity.NOTE] == rules


FILES = {
    "/var/lib/data.img /data ext4 loop 0 2": ("IMS852", E),
    "/var/lib/data.img /data iso9660 ro,loop=/dev/loop3 0 0": ("IMS852", E),
    f"LABEL=my\\040data /data ext4 x-systemd.requires=/dev/disk/by-uuid/{UUID[::-1]} 0 2": ("IMS811", E),
}  # fmt: skip


@pytest.mark.parametrize("line", FILES)
def test_a_file_or_device_that_a_mount_needs_has_to_be_there(line: str) -> None:
    rule, severity = FILES[line]
    assert {rule: s for rule, (s, _) in bad(line).items()} == {rule: severity}
    assert bad(line, **{"/var/lib/data.img": b"x"}).keys() == {rule} - {"IMS852"}
    loose = line.replace(" 0 ", ",nofail 0 ", 1)
    assert bad(loose) == {}


@pytest.mark.parametrize(
    "line",
    ["/srv/gone /data none bind 0 0", "/swap.img none swap sw 0 0", "/run/x.img /x ext4 loop 0 0",
     f"UUID={OTHER} /srv ext4 defaults 0 2\n/srv/a.img /data ext4 loop 0 2",
     f"UUID={OTHER} /data ext4 x-systemd.requires=/dev/disk/by-uuid/{UUID} 0 2",
     "//server/share /data cifs loop 0 0"],
)  # fmt: skip
def test_what_is_made_at_boot_or_may_be_on_another_volume_is_no_error(line: str) -> None:
    assert bad(line) == {}


@pytest.mark.parametrize(("what", "found"), [
    (f"/dev/disk/by-uuid/{UUID}", False), (f"/dev/disk/by-uuid/{UUID[::-1]}", True), ("tmpfs", False),
])  # fmt: skip
def test_a_unit_that_the_boot_needs_mounts_what_is_in_the_image(what: str, found: bool) -> None:
    path = "/etc/systemd/system/local-fs.target.requires/data.mount"
    said = bad("", **{path: f"[Mount]\nWhat = {what}\nWhere=/data\n"})
    assert list(said) == ["IMS811"] * found
    assert all(path in message for _, message in said.values())
    assert bad("", **{path.replace(".requires", ".wants"): f"[Mount]\nWhat={what}\n"}) == {}


@pytest.mark.parametrize(
    "line", ["vagrant /vagrant vboxsf uid=1000 0 0", ".host:/ /mnt/hgfs fuse.vmhgfs-fuse defaults 0 0"]
)  # fmt: skip
def test_a_folder_of_the_old_host_is_not_there(line: str) -> None:
    severity, message = bad(line)["IMS811"]
    assert severity is Severity.ERROR
    assert message.endswith(" shares")
    assert bad(line.replace(" 0 0", ",nofail 0 0")) == {}
