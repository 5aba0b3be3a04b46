"""IMS855: whether the initramfs has what opens and mounts the volume of the root."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest.chain.drivers import DRIVERS
from imsprep.checks.subject.boot_entry import (
    Started,
    arguments,
    cut,
    origin,
    started,
    value,
)
from imsprep.checks.subject.guest import advice, listed
from imsprep.guest.chain.devices import mapped, may_hide
from imsprep.guest.linux.fstab import find_volume, read_fstab
from imsprep.guest.linux.initramfs_actions import CRYPT_PROGRAM, LVM_PROGRAM, RAID_PROGRAM
from imsprep.guest.linux.locate import State, locate
from imsprep.guest.model import Guest, Volume
from imsprep.image.volumes.signatures import LUKS, RAID
from imsprep.report import Severity

_MAKERS = ("dracut", "initramfs-tools", "mkinitcpio", "mkinitfs")  # that run LVM's own program
# Of these the last one counts; by those below dracut leaves LVM alone. Both have the names too that
# they had before version 010.
_WHETHER_LVM = ("rd.lvm", "rd_NO_LVM")
_WITHOUT_LVM = ("rd.lvm=0", "rd.lvm=no", "rd.lvm=off", "rd_NO_LVM", "rd_NO_LVM=1")
_VOLUMES, _GROUPS = ("rd.lvm.lv", "rd_LVM_LV"), ("rd.lvm.vg", "rd_LVM_VG")


@rule(
    "IMS855",
    Severity.ERROR,
    "The initramfs does not open or mount the volume of the root",
    why="Without the program that opens it (lvm, mdadm, cryptsetup) or the driver of its file"
    " system there is no root, and the boot stops in the shell of the initramfs.",
    fix=advice(
        "make the initramfs again, on this system as it is now, with the tools of what holds the"
        " root installed"
    ),
    source="dracut.cmdline(7): rd.lvm, rd.lvm.lv, rd.lvm.vg, rd.md, rd.md.uuid, rd.luks;"
    " initramfs-tools(7); depmod(8): modules.dep",
)
def cannot_open_the_root(facts: Facts) -> Iterator[Evidence]:
    """Look in it for what opens the volume, and for the driver of its file system."""
    found = started(facts)
    if found.image is None:
        return
    root = value(found, "root")
    volume = locate(root, found.guest).volume if root else None
    if volume is None:
        yield from _closed(found, root or "")
        return
    for needed in (volume, *_usr(found.guest, volume)):
        if needed.name.startswith("LVM "):
            yield from _left_alone(found, needed, "root" if needed is volume else "/usr")
    if found.image.unread is not None:
        raise UnknownError(f"{found.image.path}: {found.image.unread}")
    if volume.name.startswith("LVM ") and found.image.maker in _MAKERS:
        programs = [name for name in found.image.files if LVM_PROGRAM.search(name)]
        if not programs:
            yield Evidence(
                f"{found.image.path} has no program lvm, and root={cut(root or '')} is a logical "
                "volume",
                expected="lvm",
                found="no LVM",
                fix=_again(found),
            )
    yield from _without_driver(found, volume)


class _Opener(NamedTuple):
    """What opens volumes of a kind, and what keeps dracut from it."""

    kind: str
    program: re.Pattern[str]
    name: str
    makers: tuple[str, ...]  # of an initramfs, which run it
    whether: tuple[str, ...]  # arguments of which the last one counts
    off: tuple[str, ...]  # those of them by which nothing is opened


def _opener(kind: str, program: re.Pattern[str], name: str, words: tuple[str, str]) -> _Opener:
    """Make an opener by the name of its argument, and the one of dracut before version 010."""
    new, old = words
    off = (*(f"{new}={no}" for no in ("0", "no", "off")), old, f"{old}=1")
    # Alpine's nlplug-findfs, of mkinitfs, has what opens LUKS in itself.
    makers = _MAKERS if kind == RAID else _MAKERS[:-1]
    return _Opener(kind, program, name, makers, words, off)


_OPENERS = (
    _opener(RAID, RAID_PROGRAM, "mdadm", ("rd.md", "rd_NO_MD")),
    _opener(LUKS, CRYPT_PROGRAM, "cryptsetup", ("rd.luks", "rd_NO_LUKS")),
)
# Names of a root that may be of a volume inside another one.
_INNER = re.compile(
    r"(?:UUID|LABEL)=|/dev/disk/by-(?:uuid|label)/|/dev/md|/dev/mapper/(?!(?:root|usr)$|mpath)"
    r"|/dev/(?!mapper/|disk/|bcache/|drbd/|zvol/)[^/]+/[^/]+$"
)


def _closed(found: Started, root: str) -> Iterator[Evidence]:
    """Look for what opens the only volumes that the root can lie in: a RAID's, or encrypted ones.

    Their files are not read, so that of another volume that could hide the root nothing is said.
    """
    image = found.image
    hiding = {v.kind for v in found.guest.volumes if may_hide(v)}
    opener = next((one for one in _OPENERS if hiding == {one.kind}), None)
    if image is None or opener is None or not _INNER.match(root.strip("\"'")):
        return
    if locate(root, found.guest).state not in (State.UNKNOWN, State.MADE):
        return
    if image.maker == "dracut":
        yield from _not_opened(found, opener, root)
    if image.unread is not None:
        raise UnknownError(f"{image.path}: {image.unread}")
    if image.maker in opener.makers and not any(
        opener.program.search(name) for name in image.files
    ):
        yield Evidence(
            f"{image.path} has no program {opener.name}, and root={cut(root)} can only lie in "
            f"{_members(found.guest, opener.kind)} ({opener.kind})",
            expected=opener.name,
            found=f"no {opener.name}",
            fix=advice(
                f"install {opener.name}, and make the initramfs again with "
                f"{fixes.initramfs_again(found.guest)}, on this system as it is now"
            ),
        )


def _members(guest: Guest, kind: str) -> str:
    return listed([v.name for v in guest.volumes if v.kind == kind])


def _not_opened(found: Started, opener: _Opener, root: str) -> Iterator[Evidence]:
    """Look for arguments by which dracut opens nothing of a kind, or only others."""
    given = arguments(found)
    last = next((a for a in reversed(given) if a.partition("=")[0] in opener.whether), None)
    if last in opener.off and last is not None:
        yield Evidence(
            f"{origin(found, last)} says {last}, and root={cut(root)} can only lie in "
            f"{_members(found.guest, opener.kind)} ({opener.kind})",
            expected="no such argument",
            found=last,
            fix=advice(f"remove it from the command line, and {fixes.AGAIN}"),
        )
        return
    only = [a for a in given if a.startswith("rd.md.uuid=")]
    here = [v.uuid for v in found.guest.volumes if v.kind == opener.kind]
    if opener.kind == RAID and only and here and all(here):
        wanted = {re.sub(r"[^0-9a-f]", "", a.partition("=")[2].lower()) for a in only}
        if not wanted & {str(uuid).replace("-", "").lower() for uuid in here}:
            yield Evidence(
                f"{origin(found, only[0])}: of RAID only what {cut(only[0])} names is assembled, "
                f"and {_members(found.guest, opener.kind)} belongs to the array {here[0]}",
                expected=f"rd.md.uuid={here[0]}",
                found=cut(only[0]),
                fix=advice(f"remove it from the command line, and {fixes.AGAIN}"),
            )


def _usr(guest: Guest, root: Volume) -> Iterator[Volume]:
    """Yield the volume of /usr, which dracut mounts too before it hands over, if it is another."""
    for mount in read_fstab(guest.text("/etc/fstab") or ""):
        found = find_volume(mount.spec, guest.volumes) if mount.path == "/usr" else None
        if found is not None and found.name != root.name:
            yield found


def _left_alone(found: Started, volume: Volume, what: str) -> Iterator[Evidence]:
    """Look for arguments by which dracut activates no logical volume, or only others."""
    assert found.image is not None
    if found.image.maker != "dracut":
        return
    given = arguments(found)
    last = next((a for a in reversed(given) if a.partition("=")[0] in _WHETHER_LVM), "")
    if last in _WITHOUT_LVM:
        yield Evidence(
            f"{origin(found, last)} says {last}, and the {what} is the logical volume "
            f"{volume.name}",
            expected="no such argument",
            found=last,
            fix=advice(f"remove it from the command line, and {fixes.AGAIN}"),
        )
        return
    name = volume.name.removeprefix("LVM ")
    only = [a for a in given if a.partition("=")[0] in (*_VOLUMES, *_GROUPS)]
    wanted = {*(f"{key}={name}" for key in _VOLUMES),
              *(f"{key}={name.partition('/')[0]}" for key in _GROUPS)}  # fmt: skip
    if only and not wanted & set(only):
        yield Evidence(
            f"{origin(found, only[0])}: of LVM only what {cut(only[0])} names is activated, and "
            f"the {what} is {mapped(volume.name)}",
            expected=f"rd.lvm.lv={name}",
            found=cut(only[0]),
            fix=advice(f"add rd.lvm.lv={name} to the command line, and {fixes.AGAIN}"),
        )


def _without_driver(found: Started, volume: Volume) -> Iterator[Evidence]:
    """Ask for the file system's driver, where the kernel has it as a module."""
    image, kernel = found.image, found.kernel
    drivers = DRIVERS.get(volume.kind)
    if image is None or kernel is None or drivers is None or not image.versions:
        return
    modular = drivers[0] in kernel.filesystem_modules and image.fits is not False
    if modular and not set(drivers) & set(image.drivers):
        yield Evidence(
            f"{image.path} has no driver {drivers[0]}, and the root on {volume.name} is "
            f"{volume.kind}",
            expected=drivers[0],
            found=", ".join(d for d in image.drivers if d in _ALL) or "no such driver",
            fix=_again(found),
        )


_ALL = {name for names in DRIVERS.values() for name in names}


def _again(found: Started) -> str:
    return advice(
        f"make the initramfs again with {fixes.initramfs_again(found.guest)}, on this system as it "
        "is now"
    )
