"""What an exported machine (OVA) proposes for its import, and its disks, for a person.

Nothing is invented: what the descriptor does not say, or the site has no value for, is left open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from imsprep.cloud.sites import Site
from imsprep.errors import show_path
from imsprep.guest.linux.os_release import Wanted, depth, padded, parse_os_version
from imsprep.image import formats
from imsprep.image.archive.ova import OVA, OVF, read_exported
from imsprep.image.archive.ovf import Machine, OvfDisk
from imsprep.image.file import RawImage
from imsprep.ims.request import RequestFields
from imsprep.units import exact_size
from imsprep.zvhd2.source import OpenImage

# VMware's tokens of a system (vmw:osType), as far as they name the release: what stands in front of
# the release, and how the service's lists begin. From VMware's list of guest ids, 2023.
_TOKENS = (
    (r"debian(\d+)(?:_64)?Guest", "Debian GNU/Linux {}"),
    (r"centos(\d+)(?:_64)?Guest", "CentOS {}"),
    (r"rhel(\d+)(?:_64)?Guest", "Redhat Linux Enterprise {}"),
    (r"oracleLinux(\d+)(?:_64)?Guest", "Oracle Linux Server release {}"),
    (r"sles(\d+)(?:_64)?Guest", "SUSE Linux Enterprise Server {}"),
    (r"windows(20\d\d)srv(?:Next)?_64Guest", "Windows Server {}"),
)
_WINDOWS = {
    "windows9Server64Guest": "Windows Server 2016",
    "windows8Server64Guest": "Windows Server 2012",
}
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Proposal:
    """What the descriptor proposes for the request; None: it says nothing that is of use."""

    name: str | None
    os_version: str | None
    firmware: str | None
    min_disk: int | None  # GiB


@dataclass(frozen=True)
class ExportedSummary:
    """An archive with a machine in it. Sizes in bytes."""

    image: str
    format: str
    file_size: int
    machine: Machine
    proposal: Proposal
    has_manifest: bool

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        machine = self.machine
        return {
            "image": self.image,
            "format": self.format,
            "file_size": self.file_size,
            "name": machine.name,
            "system": machine.system,
            "system_id": machine.system_id,
            "firmware": machine.firmware,
            "cpus": machine.cpus,
            "memory": machine.memory,
            "manifest": self.has_manifest,
            "disks": [
                {
                    "file": disk.file,
                    "role": _role(machine, disk),
                    "capacity": disk.capacity,
                    "file_size": disk.file_size,
                }
                for disk in machine.disks
            ],
            "proposal": vars(self.proposal),
        }

    def __str__(self) -> str:
        """Write a screen of it."""
        machine, proposal = self.machine, self.proposal
        memory = exact_size(machine.memory) if machine.memory else "not said"
        lines = [
            ("image", self.image),
            ("format", self.format),
            ("file size", exact_size(self.file_size)),
            ("machine", show_path(machine.name) or "not named"),
            ("system", show_path(machine.system or machine.system_id) or "not said"),
            ("firmware", machine.firmware),
            ("processors", f"{machine.cpus or 'not said'}, memory {memory}"),
            ("manifest", "has sums" if self.has_manifest else "none"),
        ]
        for disk in machine.disks:
            file = show_path(disk.file) if disk.file else "no file, empty"
            lines.append((_role(machine, disk), f"{file}, {exact_size(disk.capacity)}"))
        lines += [
            (name, f"{value} (proposed)")
            for name, value in vars(proposal).items()
            if value is not None
        ]
        return "\n".join(f"{name:13} {value}" for name, value in lines)


def summarize_exported(image: RawImage, site: Site) -> ExportedSummary:
    """Return what an OVA says of its machine; FormatError for one that is not taken, ReadError."""
    exported = read_exported(image)
    image.check_unchanged()
    return ExportedSummary(
        show_path(image.path.name),
        OVF if exported.folder else OVA,
        image.size,
        exported.machine,
        propose(exported.machine, site),
        bool(exported.sums),
    )


def propose(machine: Machine, site: Site) -> Proposal:
    """Return what the descriptor proposes for the request of the system disk."""
    version = proposed_version(machine, site)
    disk = next((d for d in machine.disks if d.file is not None), None)
    windows = version is not None and version.lower().startswith("windows")
    return Proposal(
        name=_NAME.sub("-", machine.name).strip("-.") or None,
        os_version=version,
        firmware=machine.firmware if machine.firmware == "uefi" else None,
        min_disk=site.min_disk_for(disk.capacity, data_disk=False, windows=windows)
        if disk is not None
        else None,
    )


def proposed_fields(
    image: OpenImage, fields: RequestFields, site: Site
) -> tuple[RequestFields, list[str]]:
    """Return a request in which what is open is proposed by an OVA, and what to say of it.

    Of another image the request comes back as it is. Raises FormatError for an OVA that is not
    taken, ReadError.
    """
    if formats.primary(image.matches) not in (OVA, OVF):
        return fields, []
    machine = read_exported(image.file).machine
    proposal, found = propose(machine, site), dict[str, Any]()
    for name, mine in (
        ("name", "name"), ("os_version", "os_version"), ("firmware", "hw_firmware_type"),
        ("min_disk", "min_disk"),
    ):  # fmt: skip
        value = getattr(proposal, name)
        if value is not None and getattr(fields, mine) is None:
            found[mine] = value
    for name in ("os_version", "hw_firmware_type"):
        documented = name == "os_version" or site.takes(name)
        if fields.is_data_disk or not documented:
            found.pop(name, None)
    news = [f"proposed from the descriptor: {n} {v}" for n, v in found.items()]
    data = [d.file for d in machine.disks if d.file and _role(machine, d) == "data disk"]
    if data:
        news.append(f"only the system disk is imported, not {', '.join(map(show_path, data))}")
    return replace(fields, **found), news


def proposed_version(machine: Machine, site: Site) -> str | None:
    """Return the site's value for the machine's system; None if the descriptor names no release."""
    listed = list(site.listed)
    if (start := _WINDOWS.get(machine.system_id)) is None:
        start = next(
            (form.format(m[1]) for p, form in _TOKENS if (m := re.fullmatch(p, machine.system_id))),
            None,
        )
    for text in (start, machine.system):
        wanted = parse_os_version(text.replace("-bit", "bit").replace("-", " ")) if text else None
        if wanted is None or wanted.family is None or not wanted.version:
            continue
        found = [name for name in listed if _same(wanted, parse_os_version(name))]
        if found:
            return found[0]
    return None


def _same(wanted: Wanted, listed: Wanted) -> bool:
    count = depth(wanted.family or "")
    return (
        wanted.family == listed.family
        and padded(wanted.version, count) == padded(listed.version, count)
        and listed.bits in (None, 64)
    )


def _role(machine: Machine, disk: OvfDisk) -> str:
    first = next((d for d in machine.disks if d.file is not None), None)
    return "system disk" if disk is first else "data disk"
