"""An image is started in a real QEMU and judged by what it says; it is never written to."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from imsprep.errors import MissingExtraError, UsageError
from imsprep.options import BootOptions
from imsprep.progress import Event
from imsprep.trial.plan import TCG
from imsprep.trial.run import CONNECTIONS, Booted, boot
from imsprep.zvhd2.source import OpenImage
from tests.support.running import Outcome, need
from tests.support.trial.boot_sectors import HALT, RESTART, SWITCH_OFF, saying, showing

pytestmark = need("qemu-system-x86_64")
Imsprep = Callable[..., Outcome]
QUICK = BootOptions(accelerator=TCG, memory=64 << 20, cpus=1, limit_s=60, settle_s=0.2)
QUICK_AND_SHORT = dataclasses.replace(QUICK, limit_s=20)


def booted(path: Path, options: BootOptions, **more: Any) -> Booted:
    with OpenImage.open(path, jobs=CONNECTIONS) as image:
        return boot(image, options, **more)


def started(tmp_path: Path, disk: bytes, options: BootOptions = QUICK) -> Booted:
    path = tmp_path / "disk.raw"
    path.write_bytes(disk)
    return booted(path, options)


@pytest.mark.slow
def test_a_login_is_a_boot_and_the_image_stays_as_it_was(tmp_path: Path) -> None:
    disk = saying("Debian GNU/Linux 12 web01 ttyS0\r\n\r\nweb01 login: ")
    done = started(tmp_path, disk)
    assert (done.verdict.key, done.verdict.line, done.exit_code) == ("login", "web01 login:", 0)
    assert "last lines" not in str(done)
    assert (tmp_path / "disk.raw").read_bytes() == disk
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disk", "verdict", "line"),
    [
        (saying("[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs\n"),
         "kernel-panic", "Kernel panic - not syncing: VFS: Unable to mount root fs"),
        (saying("ALERT!  UUID=9 does not exist.  Dropping to a shell!\n(initramfs) "),
         "initramfs-prompt", "ALERT!  UUID=9 does not exist.  Dropping to a shell!"),
        (saying("error: no such device: 9999.\r\nEntering rescue mode...\r\ngrub rescue> "),
         "grub-prompt", "error: no such device: 9999."),
        (showing("Missing operating system."), "no-boot-device", "Missing operating system."),
        (bytes(2 << 20), "no-boot-device", "No bootable device."),
        (saying("hello\n", RESTART), "restarts", "hello"),
        (saying("bye\n", SWITCH_OFF), "switched-off", "bye"),
    ],
    ids=["panic", "initramfs", "grub", "screen", "nothing", "restarts", "off"],
)  # fmt: skip
def test_what_does_not_boot_is_called_by_its_name(
    tmp_path: Path, disk: bytes, verdict: str, line: str
) -> None:
    done = started(tmp_path, disk)
    assert (done.verdict.key, done.exit_code) == (verdict, 1)
    assert line in done.verdict.line
    assert "\n  last lines:\n" in str(done)
    assert done.hint is None


@pytest.mark.slow
def test_a_panic_that_a_busy_machine_causes_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.trial.run.TRIES", 1)
    line = "Kernel panic - not syncing: IO-APIC + timer doesn't work!"
    done = started(tmp_path, saying(f"{line}\n"))
    assert (done.verdict.key, done.verdict.line, done.exit_code) == ("nothing", line, 7)


@pytest.mark.slow
def test_what_the_console_shows_is_passed_on_while_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.trial.run.NEWS_S", 0.5)
    seen: list[Event] = []
    options = dataclasses.replace(QUICK, limit_s=5, progress=seen.append)
    started(tmp_path, saying("hello\x1b[2J\n"), options)
    assert {event.step for event in seen} == {"boot"}
    assert seen[0].text.endswith("is started in QEMU, and watched for 5.0 s at most")
    assert any(re.fullmatch(r"\d\.\d s  console: hello", event.text) for event in seen), seen
    assert not any("\x1b" in event.text for event in seen)


@pytest.mark.slow
def test_nothing_within_the_limit_is_another_exit_code(tmp_path: Path) -> None:
    done = started(tmp_path, saying("hello\n", HALT), QUICK_AND_SHORT)
    assert (done.verdict.key, done.exit_code) == ("nothing", 7)
    assert "hello" in done.last


@pytest.mark.slow
@need("qemu-img")
@pytest.mark.parametrize("kind", ["zvhd2", "qcow2"])
def test_a_disk_in_a_container_starts_as_the_raw_one(
    tmp_path: Path, imsprep: Imsprep, kind: str
) -> None:
    raw, packed = tmp_path / "disk.raw", tmp_path / f"disk.{kind}"
    raw.write_bytes(saying("web01 login: ", size=3 << 20))
    if kind == "zvhd2":
        assert imsprep("convert", "-q", raw, packed).code == 0
    else:
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, packed], check=True)
    before = hashlib.sha256(packed.read_bytes()).digest()
    assert booted(packed, QUICK).verdict.key == "login"
    assert hashlib.sha256(packed.read_bytes()).digest() == before


@pytest.mark.slow
def test_log_and_picture_are_kept(tmp_path: Path, imsprep: Imsprep) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(saying("web01 login: "))
    done = imsprep("boot", disk, "--memory", "64m", "--accel", "tcg", "--json")
    assert done.code == 0
    assert (done.json["verdict"], done.json["boots"], done.json["firmware"]) == (
        "login",
        True,
        "bios",
    )
    assert "web01 login:" in Path(done.json["log"]).read_text()
    assert Path(done.json["screenshot"]).read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.slow
def test_the_log_is_kept_of_a_boot_that_is_ended(tmp_path: Path) -> None:
    def end(seconds: float) -> None:
        if seconds > 3:
            raise KeyboardInterrupt

    disk, log = tmp_path / "disk.raw", tmp_path / "boot.log"
    disk.write_bytes(saying("still at work"))
    with pytest.raises(KeyboardInterrupt):
        booted(disk, dataclasses.replace(QUICK, log=log), look=end)
    assert "still at work" in log.read_text()


def test_no_log_replaces_an_image(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(saying("web01 login: "))
    other = tmp_path / "other.raw"
    other.write_bytes(bytes(4096))
    for place in (disk, other):
        for options in (BootOptions(log=place), BootOptions(screenshot=place)):
            with pytest.raises(UsageError):
                booted(disk, options)
    assert other.read_bytes() == bytes(4096)
    with open(other, "r+b") as file:
        file.truncate(8 << 40)  # more than any memory holds
    with pytest.raises(UsageError):
        booted(disk, BootOptions(log=other))


def test_a_missing_qemu_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    disk = tmp_path / "disk.raw"
    disk.write_bytes(saying("web01 login: "))
    with pytest.raises(MissingExtraError, match="apt install qemu-system-x86"):
        booted(disk, QUICK)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/usr/share/OVMF").exists(), reason="not installed: ovmf")
def test_a_disk_without_an_esp_starts_nothing_by_uefi(tmp_path: Path) -> None:
    options = BootOptions(accelerator=TCG, memory=256 << 20, limit_s=120, firmware="uefi")
    done = started(tmp_path, saying("web01 login: "), options)
    assert done.verdict.key == "no-boot-device"
    assert (
        done.hint
        == "the disk has boot code for a BIOS, and nothing for UEFI: try the firmware bios"
    )


def by_uefi_only() -> bytes:
    """Return a disk with an EFI system partition in an MBR, and no code in the first sector."""
    entry = bytes([0, 0, 2, 0, 0xEF, 0, 0, 0]) + struct.pack("<II", 2048, 2048)
    return (bytes(446) + entry + bytes(48) + b"\x55\xaa").ljust(2 << 20, b"\0")


@pytest.mark.slow
def test_a_disk_that_only_uefi_starts_is_not_left_to_a_bios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.trial.programs.FIRMWARE", {"x86": ()})
    with pytest.raises(MissingExtraError, match="by UEFI needs its firmware"):
        started(tmp_path, by_uefi_only())
    both = saying("web01 login: ")[:446] + by_uefi_only()[446:]
    assert started(tmp_path, both).exit_code == 0  # a BIOS starts it too


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["bios", None])
def test_a_disk_that_a_bios_cannot_start_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Literal["bios"] | None
) -> None:
    """Also where there is boot code that goes nowhere; a cursor that blinks is no news."""
    monkeypatch.setattr("imsprep.trial.run.STUCK_S", 1.5)
    code = bytes(3) if asked else bytes.fromhex("f4ebfd")  # hlt / jmp back
    options = dataclasses.replace(QUICK, firmware=asked)
    done = started(tmp_path, code + by_uefi_only()[3:], options)
    assert (done.verdict.key, done.exit_code) == ("no-boot-device", 1)
    assert done.seconds < QUICK.limit_s / 2
    assert done.hint is not None
    assert "firmware uefi" in done.hint
    assert f"  hint:       {done.hint}\n" in str(done)
    assert done.as_dict()["hint"] == done.hint


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "code", "severity"), [("web01 login: ", 0, None), ("(initramfs) ", 1, "error")]
)
def test_a_check_says_whether_it_boots(
    tmp_path: Path, imsprep: Imsprep, text: str, code: int, severity: str | None
) -> None:
    disk, page = tmp_path / "disk.raw", tmp_path / "page.html"
    disk.write_bytes(saying(text))
    chosen = ("--select", "IMS850", "--json", "--output", f"html:{page}")
    done = imsprep("check", disk, "--boot", *chosen)
    (report,) = done.json["images"]
    assert done.code == code
    assert {f["rule"]: f["severity"] for f in report["findings"]} == (
        {"IMS850": severity} if severity else {}
    )
    assert report["facts"]["boot"]["boots"] == (severity is None)
    assert "data:image/png;base64," in page.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk.raw", "page.html"]


def test_without_a_boot_the_rule_is_skipped(tmp_path: Path, imsprep: Imsprep) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(saying("web01 login: "))
    report = imsprep("check", disk, "--select", "IMS850", "--json").json["images"][0]
    assert [s["rule"] for s in report["skipped"]] == ["IMS850"]


@pytest.mark.slow
def test_an_image_that_does_not_boot_is_not_sent(tmp_path: Path, imsprep: Imsprep) -> None:
    disk, bucket = tmp_path / "disk.raw", tmp_path / "bucket"
    disk.write_bytes(saying("(initramfs) "))
    bucket.mkdir()
    asked = ("--name", "web01", "--min-disk", "40", "--os-version", "Ubuntu 24.04 server 64bit")
    done = imsprep("import", disk, "--to", f"local:{bucket}", "--boot", *asked)
    assert done.code == 1
    assert "IMS850" in done.err + done.out
    assert not any(path.is_file() for path in bucket.rglob("*"))
