"""The rules: one module per subject, one registry (`rule`), one way to apply them (`run`)."""

from __future__ import annotations

import importlib
import pkgutil

from imsprep.checks import rules
from imsprep.checks.chain import chain
from imsprep.checks.facts import Facts
from imsprep.checks.policy import EVERYTHING, Policy
from imsprep.checks.rule import Rule, registered
from imsprep.errors import show_path
from imsprep.guest.linux.os_release import identify
from imsprep.guest.model import WINDOWS, Guest, Volume
from imsprep.image.volumes.partitions import Partition, PartitionedDisk
from imsprep.report import Finding, Report, Skipped, UnknownError


def all_rules() -> tuple[Rule, ...]:
    """Import every module of `rules` and return the rules in order of their ids."""
    for module in pkgutil.walk_packages(rules.__path__, f"{rules.__name__}."):
        importlib.import_module(module.name)
    return tuple(registered())


def run(facts: Facts, policy: Policy = EVERYTHING, *, earlier: Report | None = None) -> Report:
    """Apply every rule that the policy selects; the report's findings have the worst first.

    What an `earlier` report of the same disk has settled stands; with the facts that are known now
    only those rules are applied which were skipped then. Raises UsageError if the policy names a
    rule that does not exist.
    """
    rules = all_rules()
    policy.validate({rule.id for rule in rules})
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    passed: list[str] = []
    for rule in rules:
        if not policy.selects(rule.id):
            continue
        if earlier is not None and not earlier.skips(rule.id):
            findings += earlier.of(rule.id)
            passed += [rule.id] if rule.id in earlier.passed else []
            continue
        found, not_run = rule.run(facts)
        findings += [policy.judge(finding, facts.name) for finding in found]
        if not_run is not None:
            skipped.append(not_run)
        elif not found:
            passed.append(rule.id)
    facts_ = summary(facts)
    if facts.guest is not None:
        guest = facts_["guest"]
        assert isinstance(guest, dict)
        guest["chain"] = [step.as_dict() for step in chain(facts, rules)]
    return Report(
        image=facts.name,
        findings=tuple(sorted(findings, key=lambda finding: finding.order)),
        skipped=tuple(skipped),
        passed=tuple(passed),
        facts=facts_,
    )


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


def summary(facts: Facts) -> dict[str, object]:
    """Return the facts that a reader wants to see with the findings, as plain values."""
    values: dict[str, object] = {
        "format": facts.format,
        "file_size": facts.file_size,
        "virtual_size": facts.virtual_size,
        "source_size": facts.source_size,
        "stored_size": facts.stored_size,
        "site": facts.site.key,
    }
    if facts.disk is not None:
        values["partition_table"] = facts.disk.table
        values["sector_size"] = facts.disk.sector_size
        values["partitions"] = [_partition(p) for p in facts.disk.partitions]
        values["firmware"] = _firmware(facts.disk)
    if facts.container is not None:
        values["container"] = facts.container.as_dict()
    if facts.guest is not None:
        values["guest"] = {
            "system": facts.guest.system,
            "name": _system_name(facts.guest),
            "machine": facts.guest.machine,
            "root": facts.guest.root and show_path(facts.guest.root),
            "kernels": [show_path(kernel.version) for kernel in facts.guest.kernels],
            "unread": [show_path(reason) for reason in facts.guest.unread],
            "volumes": [_volume(volume) for volume in facts.guest.volumes],
        }
    if facts.booted is not None:
        values["boot"] = facts.booted.as_dict()
    if facts.block_map is not None:
        values["data_bytes"] = facts.block_map.data_bytes
        values["block_size"] = facts.block_map.block_size
    if facts.coverage is not None:
        values["coverage"] = facts.coverage.as_dict()
    if facts.sharing is not None:
        values["sharing"] = facts.sharing.as_dict()
    if facts.cells:
        values["cells"] = [[c.start, c.length, c.stored, c.data] for c in facts.cells]
    return {key: value for key, value in values.items() if value is not None}


def _volume(volume: Volume) -> dict[str, object]:
    return {
        "name": show_path(volume.name),
        "kind": show_path(volume.kind),
        "uuid": volume.uuid and show_path(volume.uuid),
        "label": volume.label and show_path(volume.label),
        "size": volume.size,
        "unread": volume.unread and show_path(volume.unread),
    }


def _partition(p: Partition) -> dict[str, object]:
    return {
        "number": p.number,
        "start": p.start,
        "length": p.length,
        "type": p.type,
        "name": p.name,
        "volume": p.volume.kind if p.volume else None,
    }
