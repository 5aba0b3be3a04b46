"""IMS818: what the initramfs waits for before it has a root."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest.advice import advice, listed
from imsprep.checks.rules.guest.entry import (
    Started,
    arguments,
    cut,
    place,
    started,
)
from imsprep.guest.linux.locate import State, Where, locate
from imsprep.guest.model import Guest
from imsprep.image.volumes.signatures import LUKS
from imsprep.report import Severity

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
    source="dracut.cmdline(7): rd.lvm.lv, rd.luks.uuid, resume",
)
def waits_in_vain(facts: Facts) -> Iterator[Evidence]:
    """Look rd.lvm.lv, rd.luks.uuid, resume and dracut's own hooks up among the volumes."""
    found = started(facts)
    reasons = []
    for text, spec, hard in _waits(found):
        where = (
            _luks(spec, found.guest) if text.startswith("rd.luks") else locate(spec, found.guest)
        )
        if where.state in (State.GONE, State.OLD):
            yield Evidence(
                f"{place(found.entry)}: {cut(text)} is not in the image ({where.why})",
                found=cut(text),
                severity=None if hard else Severity.WARNING,
            )
        elif where.state is State.NAME and not spec.startswith("/dev/vd"):
            yield Evidence(
                f"{place(found.entry)}: {cut(text)} is a name of the old machine; on KVM the disk "
                "has another",
                found=cut(text),
                severity=None if hard else Severity.WARNING,
            )
        elif where.state is State.UNKNOWN:
            reasons.append(f"{cut(text)} {where.why}")
    if reasons:
        raise UnknownError(listed(reasons))


def _waits(found: Started) -> Iterator[tuple[str, str, bool]]:
    """Yield what is waited for: as it is written, as a specification, whether boot ends there."""
    maker = found.image.maker if found.image is not None else None
    for argument in dict.fromkeys(arguments(found)):
        name, _, text = argument.partition("=")
        text = text.strip("\"'")
        if name == "rd.lvm.lv" and maker in _RD and text.count("/") == 1:
            yield argument, f"/dev/{text}", True
        elif name == "rd.luks.uuid" and maker in _RD:
            yield argument, text.removeprefix("luks-"), True
        elif name == "rd.luks.name" and maker in _RD:
            yield argument, text.partition("=")[0], True
        elif name == "rd.md.uuid" and maker == "dracut":
            yield argument, f"/dev/disk/by-id/md-uuid-{text}", True
        elif name == "mount.usr" and maker in ("dracut", "mkinitcpio"):
            yield argument, text, True
        elif name == "resume" and text.startswith(("/dev/", "UUID=", "LABEL=", "PARTUUID=")):
            yield argument, text, False
    for device in found.image.waits if found.image is not None else ():
        if not device.startswith("/dev/disk/by-id/dm-uuid-"):
            yield f"{found.image.path}: {device}" if found.image else device, device, True


def _luks(uuid: str, guest: Guest) -> Where:
    plain = uuid.replace("-", "").lower()
    volumes = [v for v in guest.volumes if v.kind == LUKS]
    if any((v.uuid or "").replace("-", "").lower().startswith(plain) for v in volumes):
        return Where(State.HERE)
    closed = [v for v in guest.volumes if v.unread]
    if closed:
        return Where(State.UNKNOWN, why=f"may be inside {closed[0].name}, which is not read")
    return Where(State.GONE, why="no encrypted volume of the image has it")
