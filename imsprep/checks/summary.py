"""Summary: the facts that a reader wants to see with the findings, as the report's plain values."""

from __future__ import annotations

from collections.abc import Iterable

from imsprep.checks.chain import chain
from imsprep.checks.facts import Facts
from imsprep.checks.policy import Policy
from imsprep.checks.rule import Rule
from imsprep.errors import show_path
from imsprep.guest.linux.os_release import identify
from imsprep.guest.model import WINDOWS, Guest, Volume
from imsprep.image.volumes.partitions import Partition, PartitionedDisk
from imsprep.report import FactValues, GuestValues, PartitionValues, UnknownError, VolumeValues


def summary(facts: Facts, rules: Iterable[Rule], policy: Policy) -> FactValues:
    """Return the facts of a report; `rules` say how far the boot chain is known."""
    values: FactValues = {"format": facts.format, "file_size": facts.file_size}
    for name in ("virtual_size", "source_size", "stored_size"):
        size = getattr(facts, name)
        if size is not None:
            values[name] = size
    values["site"] = facts.site.key
    if facts.disk is not None:
        if facts.disk.table is not None:
            values["partition_table"] = facts.disk.table
        values["sector_size"] = facts.disk.sector_size
        values["partitions"] = [_partition(p) for p in facts.disk.partitions]
        values["firmware"] = _firmware(facts.disk)
    if facts.block_map is not None:
        values["data_bytes"] = facts.block_map.data_bytes
        values["block_size"] = facts.block_map.block_size
    if facts.coverage is not None:
        values["coverage"] = facts.coverage.as_dict()
    if facts.sharing is not None:
        values["sharing"] = facts.sharing.as_dict()
    if facts.container is not None:
        values["container"] = facts.container.as_dict()
    if facts.booted is not None:
        values["boot"] = facts.booted.as_dict()
    if facts.guest is not None:
        values["guest"] = _guest(facts.guest)
        values["guest"]["chain"] = [step.as_dict() for step in chain(facts, rules, policy)]
    if facts.cells:
        values["cells"] = [(c.start, c.length, c.stored, c.data) for c in facts.cells]
    return values


def _guest(guest: Guest) -> GuestValues:
    return {
        "system": guest.system,
        "name": _system_name(guest),
        "machine": guest.machine,
        "root": guest.root and show_path(guest.root),
        "kernels": [show_path(kernel.version) for kernel in guest.kernels],
        "unread": [show_path(reason) for reason in guest.unread],
        "volumes": [_volume(volume) for volume in guest.volumes],
    }


def _firmware(disk: PartitionedDisk) -> list[str]:
    """Return what could start the disk, as far as its partition table and first sector show."""
    both = (("bios", disk.can_bios_boot), ("uefi", disk.has_esp))
    return [name for name, starts in both if starts]


def _system_name(guest: Guest) -> str | None:
    """Return what the system inside calls itself; None if nothing tells."""
    if guest.system == WINDOWS:
        name = guest.registry.get("ProductName")
    else:
        try:
            found = identify(guest)
        except UnknownError:
            return None
        name = found.name if found is not None else None
    return show_path(str(name)) if name else None


def _volume(volume: Volume) -> VolumeValues:
    return {
        "name": show_path(volume.name),
        "kind": show_path(volume.kind),
        "uuid": volume.uuid and show_path(volume.uuid),
        "label": volume.label and show_path(volume.label),
        "size": volume.size,
        "unread": volume.unread and show_path(volume.unread),
    }


def _partition(p: Partition) -> PartitionValues:
    return {
        "number": p.number,
        "start": p.start,
        "length": p.length,
        "type": p.type,
        "name": p.name,
        "volume": p.volume.kind if p.volume else None,
    }
