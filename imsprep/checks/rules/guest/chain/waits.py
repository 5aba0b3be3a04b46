"""IMS818: what the initramfs waits for before it has a root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import (
    Started,
    arguments,
    cut,
    origin,
    place,
    started,
)
from imsprep.checks.subject.guest import advice, listed
from imsprep.guest.chain.values import Initramfs
from imsprep.guest.linux.locate import State, Where, locate, read_crypttab
from imsprep.guest.model import Guest
from imsprep.image.volumes.signatures import LUKS
from imsprep.report import Severity

_LVM, _GROUPS = ("rd.lvm.lv", "rd_LVM_LV"), ("rd.lvm.vg", "rd_LVM_VG")  # the second: before 010
_RD = ("dracut", "mkinitcpio", None)  # initramfs makers that read rd.* arguments; None: not known


@rule(
    "IMS818",
    Severity.ERROR,
    "The boot waits for a device that is not in the image",
    why="dracut waits for every device that is named there, and then opens an emergency shell.",
    fix=advice(
        "remove the argument from the settings of the loader, and what dracut has of it from "
        "/etc/dracut.conf.d; write the loader's configuration and the initramfs again"
    ),
    source="dracut.cmdline(7): rd.lvm.lv, rd.lvm.vg, rd.luks.uuid, resume; its parse-lvm.sh",
)
def waits_in_vain(facts: Facts) -> Iterator[Evidence]:
    """Look rd.lvm.lv, rd.luks.uuid, resume and dracut's own hooks up among the volumes."""
    found = started(facts)
    reasons = []
    for wait in _waits(found):
        spec, text = wait.spec, cut(wait.text)
        where = _found(text, spec, found.guest)
        why = None
        if where.state in (State.GONE, State.OLD):
            why = f"is not in the image ({where.why})"
        elif where.state is State.NAME and not spec.startswith("/dev/vd"):
            why = "is a name of the old machine; on KVM the disk has another"
        elif where.state is State.UNKNOWN:
            reasons.append(f"{text} {where.why}")
        if why is not None:
            yield Evidence(
                f"{wait.place}: {text} {why}",
                found=text,
                severity=None if wait.hard else Severity.WARNING,
                fix=None if wait.place == place(found.entry) else _again(found),
            )
    if reasons:
        raise UnknownError(listed(reasons))


def _again(found: Started) -> str:
    """Advise what to do about what the initramfs itself waits for."""
    tool = fixes.initramfs_again(found.guest)
    return advice(
        f"make the initramfs again with {tool}: it was made for the disks of the old machine, or "
        "for lines of /etc/crypttab or /etc/initramfs-tools/conf.d/resume that are to go first"
    )


class _Wait(NamedTuple):
    """A device that is waited for."""

    place: str  # where that is said
    text: str  # as it is written there
    spec: str  # its specification
    hard: bool  # the boot ends there


def _waits(found: Started) -> Iterator[_Wait]:
    maker = found.image.maker if found.image is not None else None
    given = arguments(found)
    last = [a for a in given if a.startswith("resume=")][-1:]  # only the last one counts
    none = any(argument == "noresume" for argument in given)
    for argument in dict.fromkeys(given):
        if argument.startswith("resume=") and (none or argument not in last):
            continue
        spec = _specification(argument, maker)
        if spec is not None:
            hard = not argument.startswith("resume=")
            yield _Wait(origin(found, argument), argument, spec, hard)
    if found.image is not None:
        yield from _of_image(found.image)


def _specification(argument: str, maker: str | None) -> str | None:
    """Return the device that an argument lets an initramfs of this maker wait for, or None."""
    name, _, text = argument.partition("=")
    text = text.strip("\"'")
    if maker in _RD:
        if name in _LVM and text.count("/") == 1:
            return f"/dev/{text}"
        if name in (*_LVM, *_GROUPS) and maker == "dracut" and re.fullmatch(r"[\w.+-]+", text):
            return f"/dev/{text}"
        if name == "rd.luks.uuid":
            return text.removeprefix("luks-")
        if name == "rd.luks.name":
            return text.partition("=")[0]
    if name == "rd.md.uuid" and maker == "dracut":
        return f"/dev/disk/by-id/md-uuid-{text}"
    if name == "mount.usr" and maker in ("dracut", "mkinitcpio"):
        return text
    named = text.startswith(("/dev/", "UUID=", "LABEL=", "PARTUUID="))
    return text if name == "resume" and named else None


def _of_image(image: Initramfs) -> Iterator[_Wait]:
    """Yield what dracut's hooks wait for, and what the crypttab inside opens before the root.

    initramfs-tools opens a shell where a source does not show up (cryptsetup-initramfs,
    local-top/cryptroot: "ALERT! encrypted source device does not exist"); others go on.
    """
    for device in image.waits:
        if not device.startswith("/dev/disk/by-id/dm-uuid-"):
            yield _Wait(image.path, device, device, True)
    for line in read_crypttab(image.crypttab or ""):
        if line.required:
            text = f"{line.source}, from which its crypttab opens {line.name},"
            yield _Wait(image.path, text, line.source, image.maker == "initramfs-tools")


def _found(text: str, spec: str, guest: Guest) -> Where:
    """Return which volume is waited for; of LVM also the folder of a group, which is below /dev."""
    if text.startswith("rd.luks"):
        return _luks(spec, guest)
    if text.partition("=")[0] not in (*_LVM, *_GROUPS) or spec.count("/") != 2:
        return locate(spec, guest)
    group = spec.removeprefix("/dev/")
    if any(volume.name.startswith(f"LVM {group}/") for volume in guest.volumes):
        return Where(State.HERE)
    where = locate(f"{spec}/any", guest)
    gone = where.state is State.GONE
    return where._replace(why=f"no group of LVM is called {cut(group)}") if gone else where


def _luks(uuid: str, guest: Guest) -> Where:
    plain = uuid.replace("-", "").lower()
    volumes = [v for v in guest.volumes if v.kind == LUKS]
    if any((v.uuid or "").replace("-", "").lower().startswith(plain) for v in volumes):
        return Where(State.HERE)
    closed = [v for v in guest.volumes if v.unread]
    if closed:
        return Where(State.UNKNOWN, why=f"may be inside {closed[0].name}, which is not read")
    return Where(State.GONE, why="no encrypted volume of the image has it")
