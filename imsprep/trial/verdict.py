"""The verdict: what became of a boot, judged by what its console showed.

`judge` is given all that was said so far, on the serial console and on the screen, and returns the
verdict as soon as there is one; `at_the_end` is asked when the time is over, and then also believes
what might still have gone on. The sentences are those of GRUB, SeaBIOS, OVMF, syslinux,
systemd-boot, Linux, systemd, initramfs-tools, dracut, mkinitcpio, cloud-init and Windows.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from imsprep.trial.screen import Picture

LOGIN, CLOUD_INIT = "login", "cloud-init"
EMERGENCY, INITRAMFS, PANIC = "emergency-shell", "initramfs-prompt", "kernel-panic"
GRUB, LOADER, NO_DEVICE = "grub-prompt", "loader-prompt", "no-boot-device"
WINDOWS_STOP, RESTARTS, OFF, NOTHING = "windows-stop", "restarts", "switched-off", "nothing"

WORDS = {
    LOGIN: "the system came up to its login",
    CLOUD_INIT: "the system came up to cloud-init",
    EMERGENCY: "the system stopped in an emergency shell",
    INITRAMFS: "the initramfs did not find the system and stopped at its prompt",
    PANIC: "the kernel panicked",
    GRUB: "GRUB stopped at its prompt or with an error",
    LOADER: "the boot loader stopped at its prompt or with an error",
    NO_DEVICE: "the firmware found nothing to start",
    WINDOWS_STOP: "Windows stopped with a stop code",
    RESTARTS: "the machine restarted repeatedly",
    OFF: "the machine powered off",
    NOTHING: "no verdict within the time limit",
}
GOOD = (LOGIN, CLOUD_INIT)


class Verdict(NamedTuple):
    """What became of a boot, and the line that says so."""

    key: str
    line: str = ""

    @property
    def good(self) -> bool:
        """Return whether the system came up."""
        return self.key in GOOD

    @property
    def sentence(self) -> str:
        """What became of it and why, without saying a panic's own words twice."""
        why = self.line.removeprefix("Kernel panic - not syncing: ") if self.key == PANIC else ""
        return ": ".join(filter(None, (WORDS[self.key], why or self.line)))


# The first that matches decides: what ends a boot stands before what comes on the way.
_SIGNS: tuple[tuple[str, str], ...] = (
    (PANIC, r"Kernel panic - not syncing.*"),
    (WINDOWS_STOP, r"\*\*\* STOP: 0x[0-9A-Fa-f]{8}.*|(?:Status|Error code): 0x[cC][0-9a-fA-F]{7}"),
    (INITRAMFS, r"^.*\(initramfs\)|.*Dropping to a shell!?.*|.*rdsosreport\.txt.*|^dracut:/\S*#"
                r"|^\[rootfs \S*\]#|.*You are now being dropped into an emergency shell.*"),
    (EMERGENCY, r".*(?:You are in|Welcome to) (?:emergency|rescue) mode.*"
                r"|.*Press Enter for (?:system )?maintenance.*|.*root password for maintenance.*"
                r"|.*[Rr]oot account is locked.*|.*: Freezing execution.*"
                r"|.*can't access tty; job control turned off\s*\n# *\Z"),  # a shell for init
    (LOGIN, r"^[\w.-]+ login:|^SAC>"),
    (CLOUD_INIT, r"Cloud-init v\. \S+ (?:running 'modules:final'|finished at).*"),
    (GRUB, r"^grub(?: rescue)?>|.*Entering rescue mode\.\.\..*|.*Minimal BASH-like line editing.*"
           r"|^GRUB (?:Hard Disk|Geom|Read) Error|^Enter username: *$"),
    (LOADER, r"Loading \S+?\.\.\. ?failed: .*|.*Could not find kernel image.*"
             r"|.*No DEFAULT or UI configuration directive found!.*"
             r"|.*Failed to load COM32 file.*|.*No loader found\. Configuration files in .*"),
    (NO_DEVICE, r".*No bootable device.*|.*No bootable option or device was found.*"
                r"|.*UEFI Interactive Shell.*|^Shell>|.*BdsDxe: starting Boot\d+ \"UiApp\".*"
                r"|.*Missing operating system.*|.*Operating system load error.*|.*Missing OS$"
                r"|.*Multiple active partitions.*"
                r"|.*Operating [Ss]ystem not found.*|.*Error loading operating system.*"
                r"|.*Invalid partition table.*|.*BOOTMGR is missing.*|.*NTLDR is missing.*"
                r"|.*This is not a bootable disk.*|.*operating system wasn't found.*"
                r"|^GRUB(?: GRUB){2,}.*"),  # its first sector, over and over
)  # fmt: skip
# The firmware started the disk's first sector, and that nothing, or GRUB's no second one.
_SILENT = r"^Booting from Hard Disk\.\.\.\s*(?:GRUB\s*)?\Z"
# GRUB's menu, without the line that counts down: it waits for a key.
_MENU = r"^ *before booting or `c' for a command-line\.\s*\Z"
# Believed when the time is over and nothing came of it.
_LATE: tuple[tuple[str, str], ...] = (
    (INITRAMFS, r".*ALERT!.*|.*dracut-initqueue.*timeout.*|.*Gave up waiting for root.*"),
    (GRUB, rf"^error: .*|{_MENU}"),
    (LOADER, r"^boot: *$"),
    (
        NO_DEVICE,
        rf".*BdsDxe: (?:failed to|No boot).*|.*Boot failed.*|.*Start PXE over.*|{_SILENT}",
    ),
)
# The serial port that all of this is read from is there: a system that misses it is too slow to
# find any device in time, and what else it misses tells nothing of the image.
_LATE_SERIAL = re.compile(r".*Timed out waiting for device .*\bttyS0\b.*")
_UDEV_STARTED = re.compile(r"Started (?:systemd-udevd|Rule-based Manager)")
# What says best why, of the lines before the one that ended it: a system's, and a loader's.
_OF_SYSTEM = (
    r"ALERT!.*|Gave up waiting.*|.*Timed out waiting for device.*|.*Dependency failed for "
    r"(?!.*(?:\.target|Local (?:File|Encrypted)|Mark the need)).*"
    r"|.*Failed to mount (?!.*API).*|.*VFS: (?:Cannot open|Unable to mount).*"
    r"|.*[Ww]arning: /dev/\S+ does not exist.*|.*mount: .*(?:failed|wrong fs type|unknown).*"
    r"|.*UNEXPECTED INCONSISTENCY.*|.*not found: .*"
    r"|(?<=systemd\[1\]: )(?:Unit \S+ not found|Falling back to \S+\.target"
    r"|Failed to load default target).*"
)
_REASONS = re.compile(_OF_SYSTEM, re.MULTILINE)
_ANY_REASONS = re.compile(rf"{_OF_SYSTEM}|^error: .*|.*Not Found.*", re.MULTILINE)
# What follows from another reason, and that one.
_FOLLOW = (
    ("Dependency failed for ", re.compile(r"Timed out waiting for device|Failed to mount")),
    ("Falling back to ", re.compile(r"Unit \S+ not found")),
)
# The line of a panic is repeated at its end, where no other program's is in between.
_END_OF_PANIC = re.compile(r"---\[ end (Kernel panic - not syncing.*?) ?\]---")
_PANIC = re.compile(r"(?<!end )Kernel panic - not syncing")
# Why it panicked, as init or the kernel says it: near the panic, before it or after, since both
# write to the console.
_CAUSE = re.compile(
    r".*error while loading shared libraries: .*|.*Failed to execute /.*"
    r"|.*exists but couldn't execute it.*|.*Requested init \S+ failed.*"
    r"|.*No working init found.*|.*VFS: (?:Cannot open|Unable to mount) root.*"
)
_NEAR_PANIC = 10  # lines before it that may say why
_STAMP = re.compile(r"^\[ *\d+\.\d+\] *(?:\[ *[TC]\d+\] *)?")
# What a kernel prints of its state: processor, modules, registers, stack.
_DUMP = re.compile(
    r"(?:\[ *\d+\.\d{6}\] *(?:\[ *[TC]\d+\] *)?)?(?:(?:CPU|Hardware name|Modules linked in"
    r"|Call Trace|Code|RIP|RSP|R[A-Z]X|R\d\d|EIP|E[A-Z]X|ESI|EFLAGS|FS|CS|DS|CR2|DR\d|PKRU"
    r"|pstate|pc|lr|sp|x\d+) ?:|</?(?:TASK|IRQ|NMI)>|(?:\? )?[\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+"
    r"|---\[ ).*"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(rb"[\xda\xc0]\xc4+[\xbf\xd9]")  # of GRUB's menu, in code page 437
# systemd shortens a line in its middle, and with it the colours: one that is begun, one that ends.
_CUT_COLOUR = re.compile(r"\x1b(?:\[[0-9;]*)?(?=\.\.\.|…)|(?<=\.\.\.)(?:\[[0-9;]*|[0-9;]+)m"
                         r"|(?<=…)(?:\[[0-9;]*|[0-9;]+)m")  # fmt: skip
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][0-9A-Za-z]|[=>78cMDEH])|\x1b\][^\x07]*\x07")
_SOURCE = re.compile(r"Cloud-init v\. .* finished at .*?Datasource (DataSource\w+)")
_GRUB_PROMPT = re.compile(r"^grub(?: rescue)?>", re.MULTILINE)
# What GRUB says of its own next command, when the one before has failed.
_FOLLOWS = re.compile(r"error: you need to load the kernel first")
_KERNEL_SPEAKS = re.compile(r"^\[ *\d+\.\d{6}\] ", re.MULTILINE)
# Of the screens on which Windows says its stop code; inferred from published pictures of Windows 7
# to 11.
_STOP_BLUES = ((0, 120, 215), (0, 0, 128), (0, 0, 168), (0, 0, 170), (16, 113, 170), (17, 114, 169))
_STOP_SHARE = 0.6  # of the picture is that blue; the rest are letters
_NEAR = 6  # how far a colour may be from one of them


def plain(console: bytes) -> str:
    """Return what a console said as lines of text, without what moves the cursor and colours it."""
    console = _FRAME.sub(b"", console)
    # What else is no UTF-8 are the sides of such a frame.
    text = _CUT_COLOUR.sub("", _COLOUR.sub("", console.decode("utf-8", "ignore")))
    text = _ESCAPE.sub("\n", text)
    text = re.sub(r"[^\n\t\x20-\uffff]", "", text.replace("\r", "\n"))
    return re.sub(r"\n[ \t]*(?:\n[ \t]*)+", "\n", text)


def judge(text: str) -> Verdict | None:
    """Return the verdict on what was said so far; None if it may still become anything."""
    found = _first(_SIGNS, text) or back_at_the_menu(text)
    late = _LATE_SERIAL.search(text)
    if found is not None and found.key == EMERGENCY and late and _UDEV_STARTED.search(text):
        return Verdict(NOTHING, late[0].strip())
    return found


def at_the_end(text: str) -> Verdict:
    """Return the verdict when the time is over."""
    initramfs, loaders = _LATE[:1], _LATE[1:]
    found = judge(text) or _first(initramfs, text) or _first(loaders, _after_kernel(text))
    return found or Verdict(NOTHING, last_lines(text, 1))


def _after_kernel(text: str) -> str:
    """Return what was said after the last line of a kernel: what its loader said ended nothing."""
    lines = list(_KERNEL_SPEAKS.finditer(text))
    return text[lines[-1].end() :] if lines else text


def _first(signs: tuple[tuple[str, str], ...], text: str) -> Verdict | None:
    for key, sign in signs:
        found = re.search(sign, text, re.MULTILINE)
        if found is not None:
            return Verdict(key, _why(key, text, found) if key not in GOOD else found[0].strip())
    return None


def back_at_the_menu(text: str) -> Verdict | None:
    """Return the error that brought GRUB back to its menu, where nothing counts down.

    `text` may be that of several screens, one after the other.

    An error of grub.cfg itself, before the first menu, ends nothing: a signed GRUB lacks modules,
    says so, and starts its entry.
    """
    error, failed, menu, stopped = "", False, False, ""
    for line in text.split("\n"):
        if _KERNEL_SPEAKS.match(line) or "Welcome to GRUB" in line:
            error, failed, menu, stopped = "", False, False, ""  # GRUB is gone, or starts again
        elif line.startswith("error: "):
            error, failed = error if error and _FOLLOWS.match(line) else line, menu
        elif "Press any key" in line:
            failed = bool(error)
        elif "Press enter to boot" in line:
            stopped = error if failed else stopped
            error, failed, menu = "", False, True
        elif "will be executed automatically" in line:
            stopped = ""
    return Verdict(GRUB, stopped.strip()[:300]) if stopped else None


def _why(key: str, text: str, found: re.Match[str]) -> str:
    """Return the line that says why, and its cause if there is one; else what was found."""
    if key == PANIC:
        ends = _END_OF_PANIC.findall(text)
        said = str(ends[-1] if ends else found[0]).strip()
        causes = [line for line in _causes(text) if _STAMP.sub("", line).strip() not in said]
        return "; ".join([*(_STAMP.sub("", line).strip()[:300] for line in causes[-1:]), said])
    # What the loader complained of before a system started is not why the system stopped.
    kind = _REASONS if key in (EMERGENCY, INITRAMFS) else _ANY_REASONS
    reasons = [m[0].strip() for m in kind.finditer(text)]
    if not reasons:
        prompt = _GRUB_PROMPT.search(text, found.start())  # behind GRUB's words on how to use it
        return (prompt or found)[0].strip().split("\n")[0][:300]
    # What depends on another thing fails after it: the cause comes first.
    causes = [
        line
        for words, cause in _FOLLOW
        if words in reasons[-1]
        for line in reasons
        if cause.search(line)
    ]
    return "; ".join(line[:300] for line in (*causes[-1:], reasons[-1]))


def source_of(text: str) -> str | None:
    """Return the data source that cloud-init says it took; None if it did not say."""
    found = _SOURCE.search(text)
    return found[1] if found is not None else None


def blames_the_machine(found: Verdict) -> bool:
    """Return whether a panic is that of a kernel whose clock stood still.

    It compares timers for some ticks; QEMU on a busy machine emulates too few in that time.
    """
    return found.key == PANIC and "IO-APIC + timer doesn't work" in found.line


def is_stuck(text: str) -> bool:
    """Return whether nothing will follow the last line: nothing was loaded, or a menu waits."""
    return re.search(f"{_SILENT}|{_MENU}", text, re.MULTILINE) is not None


def kernel_speaks(text: str) -> bool:
    """Return whether a Linux kernel has written a line."""
    return _KERNEL_SPEAKS.search(text) is not None


def last_lines(text: str, count: int) -> str:
    """Return the last lines that say something."""
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    return "\n".join(lines[-count:])


def lines_before(found: Verdict, text: str, count: int) -> str:
    """Return the last lines that led to a verdict: those of a panic end with it, and no dump."""
    if found.key != PANIC:
        return last_lines(text, count)
    panics = list(_PANIC.finditer(text))
    end = text.find("\n", panics[-1].start()) if panics else -1
    lines = [line for line in (text[:end] if end >= 0 else text).split("\n") if line.strip()]
    after = text[end:].split("\n") if end >= 0 else []
    lines += [line for line in after if _CAUSE.fullmatch(line) and not _PANIC.search(line)]
    return last_lines("\n".join(line for line in lines if not _DUMP.match(line)), count)


def _causes(text: str) -> list[str]:
    """Return the lines near the last panic that say why the kernel panicked."""
    panics = list(_PANIC.finditer(text))
    if not panics:
        return []
    before = text[: panics[-1].start()].split("\n")[:-1]
    near = [line for line in before if line.strip() and not _DUMP.match(line)][-_NEAR_PANIC:]
    after = text[panics[-1].start() :].split("\n")[1:]
    return [line for line in (*near, *after) if _CAUSE.fullmatch(line) and "---[" not in line]


def is_stop_screen(picture: Picture) -> bool:
    """Return whether the picture is filled with a blue on which Windows says its stop code."""
    step = 3 * max(1, picture.width * picture.height // 5000)
    sample = [picture.dots[at : at + 3] for at in range(0, len(picture.dots) - 2, step)]
    if picture.is_text or not sample:
        return False
    blue = sum(any(_near(dot, stop) for stop in _STOP_BLUES) for dot in sample)
    return blue >= _STOP_SHARE * len(sample)


def _near(dot: bytes, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= _NEAR for a, b in zip(dot, colour, strict=True))
