"""The boot chain as a value: known, unknown or broken, and never other than the rules find it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.checks.chain import (
    _STEPS,
    BROKEN,
    DOUBTFUL,
    KNOWN,
    UNKNOWN,
    Step,
    chain,
    screen,
)
from imsprep.checks.facts import Facts
from imsprep.checks.policy import Policy, Waiver
from imsprep.checks.registry import all_rules, run
from imsprep.checks.reporters.text import chain_line
from imsprep.checks.rules.guest import chain as boot_rules
from imsprep.guest.model import Guest, Volume
from imsprep.ims.request import RequestFields
from imsprep.report import Severity
from tests.support.guest.disks import ext4_disk
from tests.support.guest.trees import UUID, cpio, debian, drivers, linux_guest
from tests.support.running import Outcome, need

GRUB = "/boot/grub/grub.cfg"
VERSION = "4.19.0-27-amd64"
INITRD = f"/boot/initrd.img-{VERSION}"
PROGRAMS = {f"/usr/{name}": b"x" for name in ("bin/ls", "bin/mount", "bin/env", "sbin/ifup")}
STEPS = [
    "firmware",
    "loader",
    "entry",
    "kernel",
    "initramfs",
    "root",
    "fstab",
    "network",
    "cloud-init",
]


def steps_of(guest: Guest | None, **request: Any) -> dict[str, Step]:
    facts = Facts("disk.raw", 1 << 30, guest=guest, request=RequestFields(**request))
    return {step.name: step for step in chain(facts, all_rules())}


def test_every_step_of_a_well_prepared_system_is_known() -> None:
    steps = steps_of(linux_guest(debian()))
    assert list(steps) == STEPS
    assert {step.state for step in steps.values()} == {KNOWN}
    assert chain_line([step.as_dict() for step in steps.values()]) == (
        "GRUB > vmlinuz-4.19.0-27-amd64 > initramfs (virtio_blk, virtio_scsi, virtio_net) > "
        f"UUID={UUID[:8]}… (ext4) > cloud-init (OpenStack)"
    )


@pytest.mark.parametrize(
    ("path", "old", "new", "step", "rule", "state"),
    [
        (GRUB, f"root=UUID={UUID}", "root=/dev/sda1", "root", "IMS812", BROKEN),
        (GRUB, UUID, UUID.replace("1", "9"), "root", "IMS813", BROKEN),
        (GRUB, "/boot/vmlinuz", "/boot/elsewhere", "kernel", "IMS807", BROKEN),
        (GRUB, "initrd", "#initrd", "initramfs", "IMS816", BROKEN),
        (GRUB, " ro ", " ro ds=nocloud ", "cloud-init", "IMS827", DOUBTFUL),
        ("/etc/fstab", UUID, UUID.replace("1", "9"), "fstab", "IMS811", BROKEN),
        ("/etc/network/interfaces", "eth0", "ens192", "network", "IMS844", DOUBTFUL),
    ],
)
def test_a_fault_breaks_its_step_and_a_warning_makes_it_doubtful(
    path: str, old: str, new: str, step: str, rule: str, state: str
) -> None:
    text = debian()[path]
    assert isinstance(text, str)
    steps = steps_of(linux_guest({**debian(), path: text.replace(old, new)}))
    broken = [one for one in steps.values() if one.state in (BROKEN, DOUBTFUL)]
    assert [(one.name, one.rule, one.state) for one in broken] == [(step, rule, state)]
    assert broken[0].why
    assert chain_line([one.as_dict() for one in steps.values()]).count(state) == 1
    assert broken[0].why in screen(tuple(steps.values()))


@pytest.mark.parametrize(
    ("more", "step", "rule"),
    [
        ({**PROGRAMS, "/bin/sh": None}, "root", "IMS851"),
        ({**PROGRAMS, INITRD: cpio({**drivers(VERSION), "scripts/functions": b"x"})},
         "root", "IMS853"),
        ({"/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n/gone /data ext4 loop 0 2\n"},
         "fstab", "IMS852"),
    ],
)  # fmt: skip
def test_what_the_boot_needs_behind_the_initramfs_breaks_its_step(
    more: dict[str, Any], step: str, rule: str
) -> None:
    steps = steps_of(linux_guest({**debian(), **more}))
    assert [(s.name, s.rule) for s in steps.values() if s.state == BROKEN] == [(step, rule)]


WAIVED = Policy(waivers=(Waiver("IMS813", "the volume is attached later"),))


@pytest.mark.parametrize(
    ("policy", "state", "rule"),
    [
        (Policy(), "broken", "IMS813"),
        (WAIVED, "waived", "IMS813"),
        (Policy(waivers=(Waiver("IMS812", "another rule"),)), "broken", "IMS813"),
        (Policy(ignore=("IMS813",)), "known", None),
        (Policy(severity={"IMS813": Severity.NOTE}), "known", None),
    ],
)  # fmt: skip
def test_what_the_policy_accepts_breaks_no_step(
    policy: Policy, state: str, rule: str | None
) -> None:
    text = str(debian()[GRUB]).replace(UUID, UUID.replace("1", "9"))
    guest = linux_guest({**debian(), GRUB: text})
    report = run(Facts("disk.raw", 1 << 30, guest=guest), policy)
    steps = report.facts["guest"]["chain"]
    assert [(s["state"], s["rule"]) for s in steps if s["name"] == "root"] == [(state, rule)]
    assert ("broken" in chain_line(steps)) is (state == "broken")
    assert chain_line(steps).count("waived") == (state == "waived")


@pytest.mark.slow
@need("mkfs.ext4")
@pytest.mark.parametrize("name", ["eth0", "ens192", None])
def test_a_step_is_broken_where_there_is_an_error_and_doubtful_where_there_is_a_warning(
    name: str | None, imsprep: Callable[..., Outcome], tmp_path: Path
) -> None:
    files = {**debian(), "/etc/network/interfaces": f"auto {name}\niface {name} inet dhcp\n"}
    if name is None:
        files[GRUB] = str(files[GRUB]).replace(f"root=UUID={UUID}", "root=/dev/sda1")
        del files["/etc/network/interfaces"]
    report = imsprep("check", ext4_disk(tmp_path, files), "--guest", "--json").json["images"][0]
    found = {(f["rule"], f["severity"]) for f in report["findings"]}
    word = {"broken": "error", "doubtful": "warning"}
    said = {(s["rule"], word[s["state"]]) for s in report["facts"]["guest"]["chain"] if s["rule"]}
    assert said <= found
    assert bool(said) == (name != "eth0")


def test_the_worst_of_a_steps_findings_is_told() -> None:
    text = str(debian()[GRUB]).replace(" ro ", " ro module_blacklist=virtio_blk ")
    files = {**debian(), GRUB: text, "/etc/modprobe.d/a.conf": "blacklist virtio_pci\n"}
    step = steps_of(linux_guest(files))["initramfs"]
    assert (step.state, step.rule) == (BROKEN, "IMS814")
    assert "module_blacklist" in (step.why or "")


def test_every_error_of_the_boot_breaks_a_step() -> None:
    of_a_step = {rule for _, _, ids, _ in _STEPS for rule in ids}
    of_the_boot = {
        rule.id
        for rule in all_rules()
        if rule.check.__module__.startswith(boot_rules.__name__) and rule.severity is Severity.ERROR
    }
    assert of_the_boot <= of_a_step
    assert of_a_step <= {rule.id for rule in all_rules()}


def test_what_was_not_followed_is_unknown_and_nothing_behind_it_is_broken() -> None:
    steps = steps_of(linux_guest(debian()), hw_firmware_type="uefi")
    assert steps["loader"].state == UNKNOWN
    assert "UEFI" in (steps["loader"].why or "")
    assert BROKEN not in {step.state for step in steps.values()}


def test_there_is_no_chain_where_nobody_looked_or_there_is_nothing() -> None:
    assert steps_of(None) == {}
    assert steps_of(Guest(volumes=(Volume("whole disk", 0, 1, "XFS"),))) == {}
    assert steps_of(Guest(system="windows")) == {}


@pytest.mark.slow
@need("mkfs.ext4")
def test_info_draws_the_chain_and_check_has_it_as_json(
    imsprep: Callable[..., Outcome], tmp_path: Path
) -> None:
    disk = ext4_disk(tmp_path, debian())
    shown = imsprep("info", disk, "--guest")
    assert shown.code == 0
    assert "GRUB: /boot/grub/grub.cfg" in shown.out
    # In a process of its own, in which no other command has loaded what it needs.
    line = [sys.executable, "-m", "imsprep", "info", str(disk), "--guest"]
    alone = subprocess.run(line, capture_output=True, text=True, check=True)
    assert alone.stdout == shown.out
    asked = json.loads(imsprep("info", disk, "--guest", "--json").out)
    checked = json.loads(imsprep("check", disk, "--guest", "--json").out)
    assert [step["name"] for step in asked["chain"]] == STEPS
    guest = checked["images"][0]["facts"]["guest"]
    assert guest["chain"] == asked["chain"]
    assert guest["volumes"][0]["uuid"] == UUID
