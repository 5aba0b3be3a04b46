"""Images made for the rules, and all rules."""

from __future__ import annotations

import dataclasses
from typing import Any

from imsprep.checks import registry
from imsprep.checks.facts import Facts, Zeros
from imsprep.cloud.sites import SITES
from imsprep.image.volumes.partitions import BIOS_BOOT, ESP, GptHeader, Partition, PartitionedDisk
from imsprep.image.volumes.signatures import Volume
from imsprep.ims.request import RequestFields
from imsprep.units import MIB

SIZE = 64 * MIB


SECTORS = SIZE // 512


def header(**changes: Any) -> GptHeader:
    values: dict[str, Any] = {
        "offset": 512, "header_valid": True, "entries_valid": True, "own_lba": 1,
        "other_lba": SECTORS - 1, "first_usable": 34, "last_usable": SECTORS - 34,
        "disk_guid": "a", "entries": (), "entries_crc": 1,
    }  # fmt: skip
    values |= changes
    own = values["own_lba"]
    return GptHeader(**{"entries_lba": 2 if own == 1 else own - 32, **values})


def part(
    number: int = 1,
    start: int = MIB,
    length: int = MIB,
    kind: str = ESP,
    volume: Volume | None = None,
) -> Partition:
    return Partition(number, start, length, kind, "", False, volume)


def disk(**changes: Any) -> PartitionedDisk:
    values: dict[str, Any] = {
        "size": SIZE, "table": "gpt", "sector_size": 512, "boot_code": True, "protective": True,
        "mbr_partitions": (part(1, 512, SIZE - 512, "0xee"),), "primary": header(),
        "backup": header(offset=SIZE - 512, own_lba=SECTORS - 1, other_lba=1),
        "partitions": (part(), part(2, 2 * MIB, 2 * MIB, BIOS_BOOT)),
    }  # fmt: skip
    return PartitionedDisk(**{**values, **changes})


def image(**changes: Any) -> Facts:
    return dataclasses.replace(GOOD, **changes)


GOOD = Facts(
    name="disk.raw", file_size=SIZE, virtual_size=SIZE, zeros=Zeros(0, False, 0), disk=disk(),
    request=RequestFields(), site=SITES["otc"],
)  # fmt: skip


RULES = {rule.id: rule for rule in registry.all_rules()}
