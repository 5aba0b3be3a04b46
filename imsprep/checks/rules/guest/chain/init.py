"""IMS851, IMS853, IMS856, IMS857: what the initramfs hands over to, and what that needs at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from imsprep.checks import fixes
from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.subject.boot_entry import Started, arguments, cut, of_value, started, value
from imsprep.checks.subject.guest import advice
from imsprep.guest.linux.fstab import read_fstab
from imsprep.guest.linux.os_release import read_assignments
from imsprep.guest.model import Guest
from imsprep.guest.paths import INITS, MOUNT_POINTS, NIX_GENERATIONS, ORDINARY
from imsprep.report import Severity


@rule(
    "IMS851",
    Severity.ERROR,
    "The system has no first program that starts",
    why="The kernel panics where the initramfs finds no init to hand over to: “No init found”; and"
    " where init ends: “error while loading shared libraries”, “Attempted to kill init”.",
    fix=advice(
        "install the package of the init system again (Debian, Ubuntu: systemd-sysv), or what "
        "it needs"
    ),
    source="the Linux kernel's init/main.c: /sbin/init, /etc/init, /bin/init, /bin/sh; "
    "initramfs-tools(7): init; systemd's switch-root; ld.so(8)",
)
def no_init(facts: Facts) -> Iterator[Evidence]:
    """Look for what may be the first program, where the system has its ordinary programs."""
    found = started(facts)
    asked = value(found, "init")
    maker = found.image.maker if found.image is not None else None
    if found.entry.machine == "i386" and found.guest.machine == "x86_64":
        yield Evidence(
            f"{cut(found.entry.kernel)} is a 32-bit kernel, and the programs of {found.guest.root} "
            "are 64-bit ones, which it cannot start",
            expected="a kernel for x86_64",
            found="a kernel for i386",
            fix=advice("install a 64-bit kernel (Debian: linux-image-amd64), and start that"),
        )
    elif asked is not None and maker != "initramfs-tools" and _only_that(found, asked):
        yield from _asked_for(found, asked)
    elif _is_whole(found.guest):
        if asked is not None and asked not in INITS and maker != "initramfs-tools":
            _must_be_there(found.guest, asked, maker)
        else:
            yield from _usual_places(found.guest, in_order=maker == "initramfs-tools")


def _asked_for(found: Started, asked: str) -> Iterator[Evidence]:
    """Look for the program that `init=` names."""
    guest = found.guest
    entry = guest.files.get(asked)
    guest.must_see(asked)
    lines = read_fstab(guest.text("/etc/fstab") or "")
    over = [m.path for m in lines if m.path not in _SEEN and asked.startswith(f"{m.path}/")]
    if entry is None and over:
        raise UnknownError(f"init={cut(asked)} may be on what is mounted on {cut(over[0])}")
    fault = "is not there" if entry is None else entry.fault
    if fault is not None:
        yield Evidence(
            f"{of_value(found, 'init')} says init={cut(asked)}, which {fault}",
            expected=cut(asked),
            found=fault,
            fix=advice("write a program that is there, or start an entry whose system is"),
        )


def _must_be_there(guest: Guest, asked: str, maker: str | None) -> None:
    """Raise UnknownError if the program that `init=` names cannot be started."""
    fault = guest.files[asked].fault if asked in guest.files else "was not found"
    if fault is not None:
        raise UnknownError(
            f"init={cut(asked)} {fault}, and what an initramfs of {maker or 'an unknown maker'}"
            " starts then was not tried"
        )


def _usual_places(guest: Guest, *, in_order: bool) -> Iterator[Evidence]:
    """Look for the first program where one lies; `in_order` as initramfs-tools does."""
    guest.must_see(*INITS)
    there = [path for path in INITS if guest.exists(path)]
    faults = {path: guest.files[path].fault for path in there}
    usual = [path for path in there if "systemd" not in path]
    passed = [path for path in usual if faults[path] in _PASSED] if in_order else []
    first = [path for path in usual if path not in passed][:1]
    # Other makers' initramfs may start systemd by its own name, and go on to the next.
    by_name = [path for path in there if path not in usual]
    orders = [first] if in_order else [usual, by_name + usual]
    ends = [_end(order, faults) for order in orders]
    broken = next((path for path in ends if path), None)
    if not any(orders):
        why = f", and {passed[0]} {faults[passed[0]]}" if passed else ""
        places = [p for p in INITS if p not in passed and not (in_order and "systemd" in p)]
        yield Evidence(f"{guest.root} has none of {', '.join(places)}{why}", expected="/sbin/init")
    elif broken is not None and None not in ends:
        yield _not_started(guest, broken, f"{broken} {faults[broken]}")
    elif passed and first == ["/bin/sh"]:
        yield Evidence(
            f"{passed[0]} {faults[passed[0]]}, and a shell would be started instead",
            found=passed[0],
        )


_LIBRARY = re.compile(r"cannot load (.+?)(?: \(for .*\))?, which ")  # as `libraries` says it


def _end(order: list[str], faults: dict[str, str | None]) -> str | None:
    """Return at which program a start in this order ends; None if one starts, "" if none is there.

    What lacks a library the kernel has started by then: nothing else is tried.
    """
    for path in order:
        fault = faults[path]
        if fault is None or _LIBRARY.search(fault):
            return None if fault is None else path
    return order[0] if order else ""


def _not_started(guest: Guest, path: str, message: str) -> Evidence:
    """Make the finding of a program that cannot be started, with what mends that."""
    library = _LIBRARY.search(guest.files[path].fault or "")
    fix = _again(guest, library[1]) if library is not None else None
    return Evidence(message, found=path, fix=fix)


def _again(guest: Guest, library: str) -> str:
    """Write what brings a library back; nothing runs in a system whose shell lacks one too."""
    shell = guest.files.get("/bin/sh")
    if shell is None or shell.fault is not None:
        return (
            f"Mount the image on another machine and copy {library} into it, with what else its "
            "shell lacks, from a system of the same release"
        )
    debian, name = fixes.family(guest) in fixes.DEBIAN, fixes.shell(library)
    tell = f" (`dpkg -S {name}` names it)" if debian else ""
    offline = '--run-command "apt-get install -y --reinstall PACKAGE"' if debian else None
    return fixes.without_start(advice(f"install the package of {library} again{tell}", offline))


_SEEN = ("/", "/usr")  # volumes of fstab that first programs were looked for on


def _only_that(found: Started, asked: str) -> bool:
    """Return whether nothing else is started where the program that is asked for is not there.

    The kernel alone panics (init/main.c: “Requested init”), mkinitcpio and NixOS open a shell. What
    initramfs-tools does not find it leaves out.
    """
    image, guest = found.image, found.guest
    if not asked.startswith("/") or any(a.startswith("ostree=") for a in arguments(found)):
        return False
    if fixes.family(guest) == "nixos" and image is not None and image.maker is None:
        return any(True for _ in guest.matching(NIX_GENERATIONS))  # else it is no whole NixOS
    alone = image is None and not found.entry.initrds
    return (alone or (image is not None and image.maker == "mkinitcpio")) and _is_whole(guest)


def _is_whole(guest: Guest) -> bool:
    """Return whether the root is that of a system of the ordinary kind, with its programs."""
    return guest.root is not None and all(any(map(guest.exists, p)) for p in ORDINARY)


@rule(
    "IMS853",
    Severity.ERROR,
    "A folder is missing that the boot mounts on",
    why="The root is read-only when /dev, /proc, /run and /sys are mounted: nothing can make them"
    " then; a copy that left out what is mounted has none.",
    fix=advice(f"make the folders: {', '.join(MOUNT_POINTS)}"),
    source="tried by booting; run-init of klibc: “opening console: No such file or directory”; "
    "systemd's core/mount-setup.c",
)
def no_mount_points(facts: Facts) -> Iterator[Evidence]:
    """Look for the folders, where initramfs-tools hands over to a system that is whole."""
    found = started(facts)
    guest = found.guest
    maker = found.image.maker if found.image is not None else None
    if not _is_whole(guest):
        return
    missing = [path for path in MOUNT_POINTS if not guest.exists(path)]
    if missing and maker != "initramfs-tools":
        raise UnknownError(
            f"{guest.root} has no {', '.join(missing)}; what an initramfs of "
            f"{maker or 'an unknown maker'} does then was not tried"
        )
    if missing:
        yield Evidence(
            f"{guest.root} has no {', '.join(missing)}",
            found=f"no {', '.join(missing)}",
            fix=fixes.command(f"mkdir -p {' '.join(missing)}"),
        )


_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")


@rule(
    "IMS856",
    Severity.ERROR,
    "The system has no os-release, and systemd in the initramfs asks for it",
    why="systemd hands over only to what it takes for a system; the boot stops in the initramfs.",
    fix=advice(
        "install the package again that brings /usr/lib/os-release (Debian, Ubuntu: base-files; "
        "RHEL family: the system's -release package)"
    ),
    source="systemd's systemctl-switch-root: “does not seem to be an OS tree. os-release file is "
    "missing”; inferred",
)
def no_os_release(facts: Facts) -> Iterator[Evidence]:
    """Look for os-release where systemd runs in the initramfs, in a system that is whole."""
    found = started(facts)
    guest, image = found.guest, found.image
    inside = image.files if image is not None else ()
    # initramfs-tools has systemd for udev at most, and starts no init but its own.
    by_systemd = image is not None and image.maker in ("dracut", "mkinitcpio")
    if not (by_systemd and any(name.endswith(_SYSTEMD) for name in inside)):
        return
    # Systems that are made otherwise may have a systemd that does not ask (CoreOS had).
    ordinary = _is_whole(guest) and fixes.usual(guest)
    if ordinary and all(guest.text(path) is None for path in _OS_RELEASE):
        yield Evidence(
            f"{guest.root} has neither {' nor '.join(_OS_RELEASE)}", expected="/usr/lib/os-release"
        )


_SYSTEMD = "/lib/systemd/systemd"
_SELINUX = "/etc/selinux/config"
# Their kernels have SELinux on unless the command line says otherwise.
_WITH_SELINUX = ("rhel", "centos", "fedora", "rocky", "almalinux", "ol")


@rule(
    "IMS857",
    Severity.ERROR,
    "SELinux is to be enforced, and its policy is not there",
    why="systemd loads the policy before anything else, and stops where it cannot: “Failed to load"
    " SELinux policy”, “Freezing execution”.",
    fix=advice(
        "install the policy (RHEL family: selinux-policy-targeted; Debian: selinux-policy-default)"
        f", or write SELINUX=permissive into {_SELINUX}"
    ),
    source="tried by booting; selinux_config(5); systemd's core/selinux-setup.c",
)
def no_selinux_policy(facts: Facts) -> Iterator[Evidence]:
    """Look for the policy that the settings name, where the kernel has SELinux on."""
    found = started(facts)
    guest = found.guest
    settings = read_assignments(guest.text(_SELINUX) or "")
    kind = settings.get("SELINUXTYPE", "")
    enforced = settings.get("SELINUX") == "enforcing" and value(found, "enforcing") != "0"
    if not (enforced and kind and _selinux_is_on(found) and guest.exists(_SYSTEMD)):
        return
    # The list keeps what matches; a name with a pattern in it matches nothing of the kind.
    if not any(path.split("/")[3] == kind for path, _ in guest.matching(_POLICIES)):
        yield Evidence(
            f"{_SELINUX} says SELINUX=enforcing and SELINUXTYPE={cut(kind)}, and /etc/selinux/"
            f"{cut(kind)}/policy holds no policy",
            expected=f"/etc/selinux/{cut(kind)}/policy/policy.*",
        )


_POLICIES = "/etc/selinux/*/policy/policy.*"


def _selinux_is_on(found: Started) -> bool:
    """Return whether the kernel starts SELinux, as its command line or its family says."""
    modules, security = value(found, "lsm"), value(found, "security")
    if value(found, "selinux") == "0":
        return False
    if modules is not None:
        return "selinux" in modules.split(",")
    return security == "selinux" or (
        security is None and fixes.family(found.guest) in _WITH_SELINUX
    )


# What initramfs-tools passes over: it asks whether a program is executable.
_PASSED = ("leads nowhere", "is not a file", "is not executable")
