"""IMS842: what keeps LVM from using the server's disk: its devices file and its filters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import cut
from imsprep.checks.subject.guest import advice, linux
from imsprep.errors import FormatError
from imsprep.guest.fs.lvm import parse
from imsprep.guest.linux.os_release import identify
from imsprep.guest.model import Guest, Volume
from imsprep.image.volumes.signatures import LVM
from imsprep.report import Severity

_DEVICES = "/etc/lvm/devices/system.devices"
_HARDWARE = re.compile(r"IDTYPE=(sys_wwid|sys_serial|wwid_\w+|scsi_\w+|mpath_uuid|nvme\S*)")
# LVM is built there with use_devicesfile=0.
_WITHOUT = ("debian", "ubuntu", "arch", "alpine", "gentoo", "void")


@rule(
    "IMS842",
    Severity.WARNING,
    "LVM is set to use another machine's disks only",
    why="LVM uses only the disks of its devices file and those that its filters let through. On"
    " other hardware it finds no volume group, and the server ends in emergency mode.",
    fix=advice(
        f"remove {_DEVICES}, or run vgimportdevices on the server, and make the initramfs again"
    ),
    source="lvmdevices(8); lvm.conf(5): filter, global_filter; RHEL 9, “Limiting LVM device"
    " visibility and usage”",
)
def other_disks(facts: Facts) -> Iterator[Evidence]:
    """Look for hardware identifiers and filters, where a volume group is in the image."""
    guest = linux(facts)
    physical = [volume for volume in guest.volumes if volume.kind == LVM]
    yield from _filtered(guest, physical)
    text = guest.text(_DEVICES)
    if text is None or not physical:
        return
    if not _uses_devices_file(guest):
        return
    found = _HARDWARE.search(text)
    if found is not None:
        yield Evidence(
            f"{_DEVICES} names a disk by {found[1]}, its identifier in the old machine",
            found=next(line for line in text.splitlines() if found[0] in line)[:120],
            severity=_severity(guest, _DEVICES),
        )


def _severity(guest: Guest, path: str) -> Severity | None:
    """Return ERROR where the root lies on LVM and the initramfs has the file."""
    inside = path.removeprefix("/") in {f for i in guest.boot.images for f in i.files}
    return Severity.ERROR if inside and (guest.root or "").startswith("LVM ") else None


def _uses_devices_file(guest: Guest) -> bool:
    """Return whether LVM reads its devices file: as it is set, or else as the system builds it."""
    for path in reversed(_SETTINGS):
        value = _devices(guest, path).get("use_devicesfile")
        if value is not None:
            return str(value) == "1"
    system = identify(guest)
    if system is None:
        return True
    red_hat = system.family in ("rhel", "centos", "almalinux", "rocky", "ol")
    return not (red_hat and system.version[:1] < (9,)) and system.family not in _WITHOUT


# --- filters -------------------------------------------------------------------------------------

_SETTINGS = ("/etc/lvm/lvm.conf", "/etc/lvm/lvmlocal.conf")  # the later one counts


def _filtered(guest: Guest, physical: list[Volume]) -> Iterator[Evidence]:
    """Look for a filter that lets none of the physical volume's names on the server through."""
    for key in ("global_filter", "filter"):
        for path in reversed(_SETTINGS if physical else ()):
            patterns = _patterns(guest, path, key)
            shut = [v for v in physical if patterns and not _passes(patterns, _names(v))]
            if shut:
                yield Evidence(
                    f"{path}: {key} lets {shut[0].name} through under none of its names on the "
                    f"server, such as {_names(shut[0])[0]}",
                    expected='filter = [ "a|.*|" ]',
                    found=cut(f"{key} = {patterns}"),
                    fix=advice(f"remove {key} from {path}, and make the initramfs again"),
                    severity=_severity(guest, path),
                )
            if patterns:
                break


def _patterns(guest: Guest, path: str, key: str) -> list[str]:
    """Return the patterns of a filter."""
    value = _devices(guest, path).get(key)
    return [str(one) for one in ([value] if isinstance(value, str) else value or [])]


def _devices(guest: Guest, path: str) -> dict[str, Any]:
    """Return the section `devices`; UnknownError where the file is not understood."""
    text = guest.text(path) or ""
    if not any(key in text for key in ("filter", "use_devicesfile")):
        return {}
    try:
        devices: object = parse(text).get("devices")
    except FormatError:
        raise UnknownError(f"{path} could not be understood") from None
    return devices if isinstance(devices, dict) else {}


def _names(volume: Volume) -> list[str]:
    """Return the names that a partition of the server's disk gets, as far as they are known."""
    number = volume.name.removeprefix("partition ") if volume.name != "whole disk" else ""
    part = f"-part{number}" if number else ""
    names = [
        f"/dev/vda{number}",
        "/dev/block/252:0",
        f"/dev/disk/by-id/virtio-0123456789abcdef{part}",
    ]
    names += [f"/dev/disk/by-path/{bus}pci-0000:00:04.0{part}" for bus in ("", "virtio-")]
    if volume.part_uuid is not None:
        names.append(f"/dev/disk/by-partuuid/{volume.part_uuid.lower()}")
    return names


def _passes(patterns: list[str], names: list[str]) -> bool:
    """Return whether LVM takes a disk of these names: if one is accepted, or none is rejected.

    Of the patterns the first that fits a name decides on it: `a` or `r`, and an expression between
    two characters of any kind.
    """
    verdicts = [_verdict(patterns, name) for name in names]
    return "a" in verdicts or "r" not in verdicts


def _verdict(patterns: list[str], name: str) -> str | None:
    for pattern in patterns:
        try:
            if len(pattern) > 2 and re.search(pattern[2:-1], name):
                return pattern[0]
        except re.error:
            raise UnknownError(f"LVM's filter {cut(pattern)} could not be understood") from None
    return None
