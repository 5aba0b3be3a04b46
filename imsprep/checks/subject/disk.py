"""What the rules of the disk ask first: is there one, and which table has it."""

from __future__ import annotations

from imsprep.checks.facts import Facts
from imsprep.checks.rule import UnknownError
from imsprep.image import formats
from imsprep.image.volumes.partitions import PartitionedDisk

PROPERTIES = 'OTC user guide, "Image File Properties", 2025-12-17'


def disk_of(facts: Facts) -> PartitionedDisk:
    """Return what is known of the disk; UnknownError where the format hides it."""
    if facts.format == formats.ISO:
        raise UnknownError("an optical disc image is not examined as a disk")
    if facts.disk is None:
        reason = "cannot be read" if facts.container or facts.unread else "is not read"
        why = f": {facts.unread}" if facts.unread else ""
        raise UnknownError(f"the disk inside this {facts.format} file {reason}{why}")
    return facts.disk


def gpt_of(facts: Facts) -> PartitionedDisk | None:
    """Return the disk if its table is a GPT."""
    disk = disk_of(facts)
    return disk if disk.table == "gpt" else None
