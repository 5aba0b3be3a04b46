"""IMS807, IMS840: the boot loader, to the kernel of the entry that starts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import (
    cut,
    place,
    route_of,
)
from imsprep.checks.subject.guest import advice
from imsprep.guest.chain.values import Route
from imsprep.guest.model import Guest
from imsprep.image.volumes.signatures import EXT2, EXT3, EXT4
from imsprep.report import Severity

_EXT = (EXT2, EXT3, EXT4)


@rule(
    "IMS807",
    Severity.ERROR,
    "The boot loader stops before it starts a kernel",
    why="The loader's own search ends at a file or volume that is not in the image.",
    fix=fixes.without_start(advice(f"install the loader again on this disk, and {fixes.AGAIN}")),
    source=INFERRED,
)
def loader_stops(facts: Facts) -> Iterator[Evidence]:
    """Follow the loader as the firmware starts it, to the kernel of the default entry."""
    guest, route = route_of(facts)
    entry = route.entry
    if route.broken is not None:
        yield Evidence(cut_long(route.broken), fix=_fix_of(route.broken, guest))
    elif entry is not None and entry.broken and entry.gone not in entry.initrds:
        yield Evidence(
            f"{place(entry)} ({cut(entry.title)}) starts {entry.broken}",
            fix=advice(f"install the kernel's package again, or {fixes.AGAIN}"),
        )
    elif entry is not None and entry.unknown:
        raise UnknownError(f"{cut(entry.title)}: {entry.unknown}")


def cut_long(text: str) -> str:
    """Shorten a row of reasons."""
    return text if len(text) <= 600 else f"{text[:600]}…"


def _fix_of(broken: str, guest: Guest) -> str | None:
    """Return a fix for why the loader stops, if it is narrower than the rule's own."""
    if broken.endswith(("grub.cfg is empty", "modules and no grub.cfg")):
        return fixes.without_start(advice(fixes.AGAIN))
    return _loader_fix(guest) if " searches UUID " in broken else None


def _loader_fix(guest: Guest) -> str | None:
    root = next((v for v in guest.volumes if v.name == guest.root), None)
    if root is None or root.uuid is None:
        return None
    return advice(
        f"write the UUID of the volume that holds /boot there (the system's is {root.uuid}), or "
        "install the loader again with grub-install"
    )


# --- GRUB and the file system that it reads ------------------------------------------------------

# The first GRUB that reads a file system with the feature; distributions brought some earlier.
_SINCE = {
    "meta_bg": (2, 2), "64bit": (2, 2), "mmp": (2, 2), "encrypt": (2, 4),
    "metadata_csum_seed": (2, 12), "large_dir": (2, 12), "bigtime": (2, 6), "nrext64": (2, 12),
    "exchange": (2, 14), "parent": (2, 14),
}  # fmt: skip


@rule(
    "IMS840",
    Severity.WARNING,
    "The boot loader does not know a feature of the file system that it starts from",
    why="GRUB does not read a file system with a feature that it does not know, and stops at its"
    " prompt: “unknown filesystem”.",
    fix=advice(
        "install a GRUB that knows the feature, or copy what GRUB reads to a file system made "
        "without it"
    ),
    source="GRUB 2.12's news and fs/ext2.c, fs/xfs.c of each release; distributions' own additions"
    " are not known here; Syslinux's wiki, “Filesystem”",
)
def old_grub(facts: Facts) -> Iterator[Evidence]:
    """Compare the volumes' features with what GRUB's module reads, or else with its version.

    What the code of the module `ext2` refuses is an error; the version alone is a warning.
    """
    guest, route = route_of(facts)
    if route.loader == "extlinux":
        yield from _old_extlinux(guest, route)
    if not route.loader.startswith("GRUB"):
        return
    read = [v for v in guest.volumes if v.name in route.volumes and v.features]
    for volume in read if route.reads is not None else ():
        refused = [f for f in volume.features if f not in (route.reads or ())]
        if volume.kind in _EXT and refused:
            yield Evidence(
                f"the GRUB that starts does not read {', '.join(refused)}, which the {volume.kind} "
                f"of {volume.name} has",
                expected="a file system without it",
                found=", ".join(refused),
                fix=_without_seed(refused),
                severity=Severity.ERROR,
            )
    dated = [v for v in read if route.reads is None or v.kind not in _EXT]
    if not any(feature in _SINCE for volume in dated for feature in volume.features):
        return
    if guest.grub is None:
        raise UnknownError("the version of GRUB was not found")
    version = tuple(int(part) for part in re.findall(r"\d+", guest.grub)[:2])
    for volume in dated:
        unknown = [f for f in volume.features if version < _SINCE.get(f, (0, 0))]
        if unknown:
            yield Evidence(
                f"GRUB {guest.grub} does not know {', '.join(unknown)}, which the {volume.kind} of "
                f"{volume.name} has",
                expected="a file system without it",
                found=", ".join(unknown),
                fix=_without_seed(unknown),
            )


def _old_extlinux(guest: Guest, route: Route) -> Iterator[Evidence]:
    """Look whether the extlinux that starts reads the 64-bit layout of its file system."""
    version = tuple(int(part) for part in re.findall(r"\d+", guest.extlinux or "")[:2])
    for volume in guest.volumes:
        wide = volume.name in route.volumes and volume.kind in _EXT and "64bit" in volume.features
        if wide and version and version < (6, 4):
            yield Evidence(
                f"extlinux {guest.extlinux} does not read 64bit, which the {volume.kind} of "
                f"{volume.name} has",
                expected="a file system without it, or extlinux 6.04",
                found="64bit",
                fix=advice("install extlinux of Syslinux 6.04 or later, or another loader"),
            )


def _without_seed(features: list[str]) -> str | None:
    """Return how the one feature is taken away that can be: the UUID becomes the seed again."""
    if features != ["metadata_csum_seed"]:
        return None
    return (
        "From another system, with the volume not mounted: `tune2fs -O ^metadata_csum_seed DEVICE`;"
        " or install a GRUB that knows the feature"
    )
