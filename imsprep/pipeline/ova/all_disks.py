"""All disks of an exported machine (OVA): a ZVHD2 of each, and the batch plan that imports them.

The system disk gets what the descriptor proposes, each other disk becomes a data disk image. The
plan is text for a person to read and change before `imsprep batch` takes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from imsprep.cloud.sites import Site
from imsprep.errors import FormatError, UsageError, show_path
from imsprep.image.archive.ova import read_exported
from imsprep.image.archive.ovf import Machine
from imsprep.pipeline.ova.proposal import propose
from imsprep.system.atomic import write_bytes
from imsprep.zvhd2.convert import ConvertTask, convert
from imsprep.zvhd2.source import OpenImage


@dataclass(frozen=True)
class Planned:
    """What was written."""

    plan: Path
    disks: tuple[Path, ...]  # the system disk first
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "plan": str(self.plan),
            "disks": [str(disk) for disk in self.disks],
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        """Return which files were written, and the command that imports them."""
        made = "\n".join(f"{show_path(disk)} was made" for disk in self.disks)
        return f"{made}\nimport them with: imsprep batch {show_path(self.plan)}"


def plan_all_disks(
    image: OpenImage,
    folder: Path,
    defaults: Mapping[str, str],
    site: Site,
    task: ConvertTask,
) -> Planned:
    """Make a container of each disk in `folder`, and the plan `NAME.batch.yaml`.

    `defaults` are what the plan says for all images, such as where to. Raises UsageError if the
    plan is there already or a container would be replaced, FormatError for what is no OVA or one
    that is not taken, ReadError, ImageChangedError.
    """
    stem = image.path.stem
    plan = folder / f"{stem}.batch.yaml"
    if plan.exists():
        raise UsageError(f"{show_path(plan)} exists; remove it, or use it as it is")
    machine = read_exported(image.file).machine
    files = [disk.file for disk in machine.disks if disk.file is not None]
    if not files:
        raise FormatError(f"{show_path(image.path)} has no disk with a file")
    made, warnings = list[Path](), list[str]()
    for number, file in enumerate(files, 1):
        target = folder / f"{stem}-disk{number}.zvhd2"
        done = convert(image, target, replace(task, options=replace(task.options, disk=file)))
        made.append(target)
        warnings += done.warnings
    write_bytes(plan, _plan(machine, site, made, defaults).encode())
    return Planned(plan, tuple(made), tuple(dict.fromkeys(warnings)))


def _plan(machine: Machine, site: Site, made: list[Path], defaults: Mapping[str, str]) -> str:
    """Write the plan; every value is quoted, so that none is more than text."""
    proposal = propose(machine, site)
    name = proposal.name or made[0].stem
    windows = (proposal.os_version or machine.system).lower().startswith(("windows", "microsoft"))
    lines = ["# The disks of one machine; see what was proposed, and change it.", "defaults:"]
    lines += [f"  {key}: {json.dumps(value)}" for key, value in defaults.items()]
    lines.append("images:")
    disks = [disk for disk in machine.disks if disk.file is not None]
    for number, (disk, path) in enumerate(zip(disks, made, strict=True)):
        request: dict[str, str | int | None] = {
            "image": path.name,
            "name": f"{name}-data{number}" if number else name,
            "min-disk": site.min_disk_for(disk.capacity, data_disk=bool(number), windows=windows),
        }
        if number:
            request |= {"type": "DataImage", "os-type": "Windows" if windows else "Linux"}
        elif proposal.os_version is not None:
            request["os-version"] = proposal.os_version
        if not number and proposal.firmware is not None and site.takes("hw_firmware_type"):
            request["firmware"] = proposal.firmware
        for key, value in request.items():
            lead = "  - " if key == "image" else "    "
            lines.append(f"{lead}{key}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"
