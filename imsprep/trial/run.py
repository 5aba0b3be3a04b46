"""Start an image, watch its console, say what became of it: `boot` is what commands call.

The machine runs until there is a verdict or the time is over, and is ended then, by its own process
alone. What it wrote lies in a temporary folder and is gone; the log of the serial console and the
last picture of the screen are kept where the caller says.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import imsprep
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.image.disk import Disk
from imsprep.image.qemu.program import last_line, running
from imsprep.image.volumes.partitions import read_disk
from imsprep.image.volumes.signatures import FAT
from imsprep.options import BootOptions
from imsprep.progress import BOOT, Event
from imsprep.system.atomic import write_bytes
from imsprep.system.ownership import same_file
from imsprep.system.paths import path_of
from imsprep.trial import screen, verdict
from imsprep.trial.nbd_server import exported
from imsprep.trial.plan import KVM, TCG, Machine, Places, command
from imsprep.trial.programs import find_firmware, find_qemu, why_no_kvm
from imsprep.trial.qmp import Monitor, MonitorError
from imsprep.trial.verdict import Verdict
from imsprep.units import KIB, MIB, SECTOR, format_seconds, format_size
from imsprep.zvhd2.source import OpenImage, pread

AUTO = "auto"
_STEP_S, _SCREEN_S = 0.5, 2.0  # between two looks at the serial console, at the screen
_LISTENS_S = 30.0  # until QEMU's monitor must answer
NEWS_S = 10.0  # between two lines about what the console shows
_SAME_NEWS_S = 30.0  # while the console shows nothing more
_CLOUD_INIT_S = 120.0  # after the login, until cloud-init says which source it took
_SILENT_S = 20.0  # with KVM, nothing at all for so long before a kernel spoke: it does not work
STUCK_S = 45.0  # nothing new for so long after the firmware started a disk: there is no loader
_RESTARTS = 3
TRIES = 2  # again after a panic that an overloaded machine causes
_JUDGED = 128 * KIB  # of the serial console's end
_LOG_LIMIT = 64 * MIB
_LINES = 12
CONNECTIONS = 2  # by which QEMU reads a disk that is served


_BY_UEFI = "the disk has a partition that UEFI starts from: try the firmware uefi"
_BY_BIOS = "the disk has boot code for a BIOS, and nothing for UEFI: try the firmware bios"


class Starts(NamedTuple):
    """Which firmware finds something to start on a disk, by its tables and first sector."""

    bios: bool = False
    uefi: bool = False
    chosen: bool = False  # UEFI was taken, as none was asked for and a BIOS finds nothing


@dataclass(frozen=True)
class Booted:
    """What became of a boot, and how it ran."""

    image: Path
    verdict: Verdict
    seconds: float  # from the start to the verdict
    options: BootOptions
    accelerator: str
    why_slow: str | None  # why KVM was not used
    last: str  # the last lines of the console; of a panic those that led to it
    source: str | None  # the data source that cloud-init took, if it reported so
    requests: tuple[str, ...]  # what the metadata service was asked for
    picture: bytes | None  # the last picture of the screen, a PNG
    starts: Starts  # which firmware finds something to start on the disk

    @property
    def pictured(self) -> bool:
        """Return whether a screenshot was kept."""
        return self.picture is not None and self.options.screenshot is not None

    @property
    def exit_code(self) -> int:
        """0 if the system came up, 7 if the time was over without a sign, else 1."""
        return 0 if self.verdict.good else 7 if self.verdict.key == verdict.NOTHING else 1

    @property
    def how(self) -> str:
        """Return how the machine was run: firmware, memory, CPUs, accelerator."""
        options = self.options
        ran = "with KVM" if self.accelerator == KVM else "emulated, which is slow"
        why = f": {self.why_slow}" if self.why_slow else ""
        return (
            f"{options.architecture} by {'UEFI' if options.by_uefi else 'BIOS'}{self._as_found()},"
            f" {format_size(options.memory)}, {options.cpus} CPU{'s' * (options.cpus != 1)},"
            f" {ran}{why}"
        )

    @property
    def hint(self) -> str | None:
        """Return what to try where nothing was started and the other firmware might."""
        if self.verdict.key != verdict.NO_DEVICE or self.options.architecture == "arm":
            return None
        if self.options.by_uefi:
            return _BY_BIOS if self.starts.bios and not self.starts.uefi else None
        return _BY_UEFI if self.starts.uefi else None

    def _as_found(self) -> str:
        return " (a BIOS finds nothing to start on this disk)" if self.starts.chosen else ""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "image": str(self.image),
            "verdict": self.verdict.key,
            "boots": self.verdict.good,
            "meaning": verdict.WORDS[self.verdict.key],
            "line": self.verdict.line,
            "hint": self.hint,
            "seconds": round(self.seconds, 1),
            "architecture": self.options.architecture,
            "firmware": "uefi" if self.options.by_uefi else "bios",
            "accelerator": self.accelerator,
            "why_slow": self.why_slow,
            "memory": self.options.memory,
            "cpus": self.options.cpus,
            "last_lines": self.last.split("\n"),
            "cloud_init_source": self.source,
            "metadata_requests": list(self.requests),
            "log": str(self.options.log) if self.options.log else None,
            "screenshot": str(self.options.screenshot) if self.pictured else None,
            "picture": base64.b64encode(self.picture).decode() if self.picture else None,
        }

    def __str__(self) -> str:
        """Return the result as text for a person."""
        lines = [
            f"{show_path(self.image)}: {verdict.WORDS[self.verdict.key]}, after"
            f" {self.seconds:.0f} s",
            *([f"  console:    {self.verdict.line}"] if self.verdict.line else []),
            *([f"  hint:       {self.hint}"] if self.hint else []),
            f"  ran:        {self.how}",
            *self._cloud_init(),
            *([f"  log:        {show_path(self.options.log)}"] if self.options.log else []),
            *([f"  screenshot: {show_path(self.options.screenshot)}"]
              if self.pictured and self.options.screenshot else []),
            *self._last_lines(),
        ]  # fmt: skip
        return "\n".join(lines)

    def _last_lines(self) -> Iterator[str]:
        """Yield what the console showed at the end, which matters where the system is not up."""
        if not self.verdict.good:
            yield "  last lines:"
            yield from (f"    {line}" for line in self.last.split("\n"))

    def _cloud_init(self) -> Iterator[str]:
        if self.source:
            yield f"  cloud-init: took its data from {self.source}"
        elif self.requests:
            yield f"  cloud-init: asked the metadata service {len(self.requests)} times"


class _KvmSilentError(Exception):
    """With KVM the guest printed nothing, or QEMU failed."""


def boot(
    image: OpenImage, options: BootOptions, *, look: Callable[[float], None] = lambda seconds: None
) -> Booted:
    """Start the disk in an image and return what became of it; the image is not written to.

    Where no firmware is asked for, it is a BIOS, as the service has it for x86, unless only UEFI
    finds something to start on the disk.

    `look` is called with the seconds since the start now and then. Raises MissingExtraError where
    QEMU or the firmware is not installed, FormatError and ReadError for an image that cannot be
    read and for a QEMU that does not start, UsageError for files that must not be replaced.
    """
    _check_places(image.path, options)
    program = find_qemu(options.architecture)
    starts = _starts(image.disk())
    if options.firmware is None and starts.uefi and not (starts.bios or options.by_uefi):
        starts = starts._replace(chosen=True)
        options = dataclasses.replace(options, firmware="uefi")
    firmware = find_firmware(options.architecture) if options.by_uefi else None
    reason = _no_kvm(program, options)
    machine = Machine(program, options.architecture, TCG if reason else KVM, options.memory,
                      options.cpus, firmware)  # fmt: skip
    limit = format_seconds(options.limit_s)
    text = f"{show_path(image.path)} is started in QEMU, and watched for {limit} at most"
    options.progress(Event(BOOT, text=text))
    try:
        done = _run(image, options, machine, reason, look)
    except _KvmSilentError:
        reason = "with /dev/kvm the guest printed nothing, or QEMU failed"
        done = _run(image, options, machine._replace(accelerator=TCG), reason, look)
    for _ in range(TRIES):
        if not verdict.blames_the_machine(done.verdict):
            break
        done = _run(image, options, machine._replace(accelerator=TCG), reason, look)
    if verdict.blames_the_machine(done.verdict):
        # It says nothing of the image.
        done = dataclasses.replace(done, verdict=Verdict(verdict.NOTHING, done.verdict.line))
    return dataclasses.replace(done, starts=starts)


def _starts(disk: Disk) -> Starts:
    """Return which firmware finds something to start on the disk.

    UEFI also starts what lies on a FAT that does not have the type of an EFI system partition
    (tried with EDK II).
    """
    if disk.size < SECTOR:
        return Starts()
    found = read_disk(partial(pread, disk), disk.size)
    fat = any(p.volume is not None and p.volume.kind == FAT for p in found.partitions)
    return Starts(bios=found.can_bios_boot, uefi=found.has_esp or fat)


def _no_kvm(program: str, options: BootOptions) -> str | None:
    if options.accelerator == TCG:
        return "as requested"
    return None if options.accelerator == KVM else why_no_kvm(program, options.architecture)


def _check_places(path: Path, options: BootOptions) -> None:
    """Raise UsageError if what is kept would replace the image, or something else than its like."""
    kept = ((options.log, None), (options.screenshot, b"\x89PNG"))
    for place, like in [(path_of(place), like) for place, like in kept if place is not None]:
        if not place.exists():
            continue
        if same_file(place, path):
            raise UsageError(f"{show_path(place)} is the image; keep the log somewhere else")
        head = b"\0"
        if place.is_file():
            with open(place, "rb") as file:  # it may be a disk: not all of it is read
                head = file.read(64 * KIB)
        if not head.startswith(like) if like else b"\0" in head:
            raise UsageError(
                f"{show_path(place)} is there and was not made by imsprep: name another file"
            )


def _run(
    image: OpenImage, options: BootOptions, machine: Machine, reason: str | None,
    look: Callable[[float], None],
) -> Booted:  # fmt: skip
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imsprep-")))
        if machine.firmware is not None:
            variables = folder / "variables"
            shutil.copyfile(machine.firmware[1], variables)
            machine = machine._replace(firmware=(machine.firmware[0], variables))
        asked = folder / "asked"
        server = (sys.executable, "-P", "-m", "imsprep.trial.metadata_server", str(asked))
        disk = stack.enter_context(_disk(image, folder))
        places = Places(disk, folder / "serial", folder / "control", server)
        started = stack.enter_context(_qemu(machine, places, folder))
        watch = _Watch(options, machine, places, started, look)
        try:
            found = watch.until_verdict()
        except BaseException:  # Ctrl-C or SIGTERM too: what the console showed so far is kept
            _keep(options, watch, None)
            raise
        finally:
            watch.close()
        image.file.check_unchanged()
        picture = screen.write_png(watch.picture) if watch.picture is not None else None
        _keep(options, watch, picture)
        requests = asked.read_text().split("\n")[:-1] if asked.exists() else []
        if found.key == verdict.NOTHING and requests:
            found = Verdict(verdict.CLOUD_INIT, f"asked the metadata service for {requests[-1]}")
        last = verdict.lines_before(found, watch.text, _LINES)
        return Booted(image.path, found, watch.seconds, options, machine.accelerator, reason,
                      last, verdict.source_of(watch.text), tuple(requests), picture,
                      Starts())  # fmt: skip


@contextlib.contextmanager
def _disk(image: OpenImage, folder: Path) -> Iterator[str]:
    """Yield where QEMU finds the disk: the file itself if it is RAW, else a server of ours."""
    disk = image.disk()
    if disk is image.file:
        yield os.path.abspath(image.path)  # QEMU opens it: it is another program
    else:
        with exported(disk, folder) as address:
            yield address


class _Started:
    """A running QEMU, and what it complained of."""

    def __init__(self, process: subprocess.Popen[bytes], complaint: IO[bytes]) -> None:
        self.process, self._complaint = process, complaint

    def complaint(self) -> str:
        """Return the last line that QEMU wrote on stderr."""
        return show_path(last_line(self._complaint).split(": ", 1)[-1])


@contextlib.contextmanager
def _qemu(machine: Machine, places: Places, folder: Path) -> Iterator[_Started]:
    environment = {
        **os.environ,
        "TMPDIR": str(folder),  # of what the guest writes
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(Path(imsprep.__file__).parents[1]), os.environ.get("PYTHONPATH")])
        ),
    }
    with tempfile.TemporaryFile() as complaint:
        argv = command(machine, places)
        with running(argv, complaint, environment=environment, folder=folder) as process:
            yield _Started(process, complaint)


class _Watch:
    """The eyes on a running machine."""

    def __init__(
        self, options: BootOptions, machine: Machine, places: Places, started: _Started,
        look: Callable[[float], None],
    ) -> None:  # fmt: skip
        self._options, self._machine, self._places = options, machine, places
        self._started, self._look = started, look
        self._begun = time.monotonic()
        self._changed = self._wrote = self._drawn = self._begun
        self._restarts = 0
        self._stopped: str | None = None  # what Windows reported to the hypervisor
        self._letters = ""  # of the screen
        self.screens = screen.Screens()
        self.seconds = 0.0
        self.text = ""
        self.serial = b""
        self.picture: screen.Picture | None = None
        self._monitor = self._connect()

    def close(self) -> None:
        """Close the monitor."""
        if self._monitor is not None:
            self._monitor.close()

    def until_verdict(self) -> Verdict:
        """Look until there is a verdict, or until the time is over."""
        looked = reported = self._begun
        before = ""
        while (found := self._step()) is None:
            if (now := time.monotonic()) >= looked + NEWS_S:
                looked = now
                line = verdict.last_lines(self.text, 1).strip() or "nothing yet"
                if line != before or now >= reported + _SAME_NEWS_S:
                    reported, before = now, line
                    text = f"{format_seconds(now - self._begun)}  console: {show_path(line)}"
                    self._options.progress(Event(BOOT, text=text))
            if time.monotonic() - self._begun > self._options.limit_s:
                self._draw()
                found = verdict.at_the_end(self.text)
                break
            time.sleep(_STEP_S)
        self.seconds = time.monotonic() - self._begun
        return self._settled(found)

    def _settled(self, found: Verdict) -> Verdict:
        """Let the lines come that follow a verdict, and let cloud-init finish after a login."""
        waits = found.good and self._options.wait_for_source and "loud-init" in self.text
        end = time.monotonic() + (_CLOUD_INIT_S if waits else self._options.settle_s)
        while time.monotonic() < end and self._started.process.poll() is None:
            time.sleep(_STEP_S)
            self._read()
            if found.good:
                found = verdict.judge(self.text) or found
                if not found.good or verdict.source_of(self.text):
                    break
        self._draw()
        whole = verdict.judge(self.text)  # of a line that was not yet written to its end
        return whole if whole is not None and whole.key == found.key else found

    def _step(self) -> Verdict | None:
        now = time.monotonic()
        self._look(now - self._begun)
        self._read()
        if now - self._drawn >= _SCREEN_S:
            self._draw()
            self._take_events()
        found = (
            verdict.judge(self.text)
            or verdict.back_at_the_menu(self.screens.text)
            or self._told(now)
        )
        if found is None and self._started.process.poll() is not None:
            return self._ended()
        return found

    def _told(self, now: float) -> Verdict | None:
        """Return what else than text tells."""
        if self._stopped is not None:
            return Verdict(verdict.WINDOWS_STOP, self._stopped)
        if self.picture is not None and verdict.is_stop_screen(self.picture):
            return Verdict(verdict.WINDOWS_STOP, "its code is on the screenshot")
        if self._restarts >= _RESTARTS:
            return Verdict(verdict.RESTARTS, verdict.last_lines(self.text, 1))
        if now - self._wrote > STUCK_S and verdict.is_stuck(self.text):
            return verdict.at_the_end(self.text)
        tried = self._machine.accelerator == KVM and self._options.accelerator == AUTO
        if tried and now - self._changed > _SILENT_S and not verdict.kernel_speaks(self.text):
            raise _KvmSilentError
        return None

    def _ended(self) -> Verdict:
        """Return the verdict on a machine that is gone: by itself, or because QEMU failed."""
        if self._started.process.returncode:
            if self._machine.accelerator == KVM and self._options.accelerator == AUTO:
                raise _KvmSilentError
            raise ReadError(f"{self._machine.program} ended: {self._started.complaint()}")
        return verdict.judge(self.text) or Verdict(verdict.OFF, verdict.last_lines(self.text, 1))

    def _connect(self) -> Monitor | None:
        deadline = time.monotonic() + _LISTENS_S
        while self._started.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, MonitorError):
                return Monitor(self._places.control)
            time.sleep(0.05)
        return None

    def _read(self) -> None:
        """Take what the serial console has reported since."""
        with contextlib.suppress(FileNotFoundError), open(self._places.serial, "rb") as file:
            file.seek(len(self.serial))
            new = file.read(max(0, _LOG_LIMIT - len(self.serial)))
            if new:
                self.serial += new
                self._note()

    def _note(self) -> None:
        self._changed = time.monotonic()
        before = self.text
        self.text = f"{self._letters}\n{verdict.plain(self.serial[-_JUDGED:])}"
        if self.text != before or (self.picture is not None and not self.picture.is_text):
            self._wrote = self._changed  # a cursor that blinks writes nothing

    def _draw(self) -> None:
        """Take a picture of the screen, and its letters if it is in text mode."""
        self._drawn = time.monotonic()
        if self._monitor is None:
            return
        folder = self._places.control.parent
        shot, memory = folder / "screen", folder / "memory"
        try:
            self._monitor.ask("screendump", filename=str(shot))
            picture = screen.read_ppm(shot.read_bytes())
            if picture is None:
                return
            letters = ""
            if picture.is_text and self._machine.architecture == "x86":
                self._monitor.ask("pmemsave", val=screen.TEXT_MEMORY, size=screen.TEXT_SIZE,
                                  filename=str(memory))  # fmt: skip
                letters = screen.text_of(memory.read_bytes())
        except (MonitorError, OSError):
            return  # it has no screen yet, or has ended
        if picture != self.picture or letters != self._letters:
            self.picture, self._letters = picture, letters
            self.screens.show(letters)
            self._note()

    def _take_events(self) -> None:
        for event in self._monitor.take_events() if self._monitor is not None else ():
            if event["event"] == "RESET" and event.get("data", {}).get("guest"):
                self._restarts += 1
            if event["event"] == "GUEST_PANICKED":
                info = event.get("data", {}).get("info", {})
                self._stopped = f"STOP 0x{int(info.get('arg1', 0)):08X}"


def _keep(options: BootOptions, watch: _Watch, picture: bytes | None) -> None:
    """Write log and screenshot, as far as they are wanted and there."""
    if options.log is not None:
        text = verdict.plain(watch.serial) if watch.serial else watch.screens.text
        write_bytes(path_of(options.log), text.encode("utf-8", "backslashreplace"))
    if options.screenshot is not None and picture is not None:
        write_bytes(path_of(options.screenshot), picture)
