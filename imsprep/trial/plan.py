"""The machine as a value: which QEMU, with which options, for which image and firmware.

The machine is like a server of the cloud, as far as the boot can tell: the disk is virtio-blk, the
card virtio-net, the metadata service answers at 169.254.169.254. The disk is opened with a
temporary overlay (`snapshot=on`), so that no write reaches the image. The guest's network is
QEMU's own user network with `restrict=on`: nothing leaves it.

Facts about QEMU: its manual, "Invocation" (-netdev user, guestfwd, -drive snapshot). That a server
calls itself an OpenStack Nova of HUAWEICLOUD is what cloud-init's DataSourceOpenStack looks for
(VALID_DMI_PRODUCT_NAMES, VALID_DMI_ASSET_TAGS).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from imsprep.units import MIB

Architecture = Literal["x86", "arm"]
Firmware = Literal["bios", "uefi"]
KVM, TCG = "kvm", "tcg"  # QEMU's names of its accelerators

PROGRAMS = {"x86": "qemu-system-x86_64", "arm": "qemu-system-aarch64"}
MAC = "fa:16:3e:00:00:01"  # of the card; the prefix is OpenStack's
METADATA_ADDRESS = "169.254.169.254"


class Machine(NamedTuple):
    """What is to be started. Sizes in bytes."""

    program: str  # of QEMU
    architecture: Architecture
    accelerator: str  # KVM or TCG
    memory: int
    cpus: int
    firmware: tuple[Path, Path] | None  # code and variables of UEFI; None: BIOS


class Places(NamedTuple):
    """Where the parts of a run lie."""

    disk: str  # a path of a RAW disk, or the address of an NBD server
    serial: Path  # what the serial console writes
    control: Path  # the socket of QEMU's monitor
    metadata: Sequence[str] | None  # the command that answers one request; None: no network


def command(machine: Machine, places: Places) -> list[str]:
    """Return the command line that starts the machine."""
    return [
        machine.program, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", _board(machine), "-accel", _accelerator(machine),
        *processor(machine.accelerator, machine.architecture),
        "-m", str(machine.memory // MIB), "-smp", str(machine.cpus),
        *_firmware(machine), *_identity(), *_graphics(machine),
        "-drive", f"if=none,id=disk,format=raw,cache=unsafe,snapshot=on,{_file(places.disk)}",
        "-device", "virtio-blk-pci,drive=disk,bootindex=1",
        *_network(places),
        "-device", "virtio-rng-pci",
        "-serial", f"file:{_escaped(places.serial)}",
        "-qmp", f"unix:{_escaped(places.control)},server=on,wait=off",
    ]  # fmt: skip


def _board(machine: Machine) -> str:
    if machine.architecture == "arm":
        return "virt,gic-version=max" if machine.accelerator == TCG else "virt,gic-version=host"
    return "q35" if machine.firmware else "pc"


def _accelerator(machine: Machine) -> str:
    return "tcg,thread=multi" if machine.accelerator == TCG else machine.accelerator


def processor(accelerator: str, architecture: Architecture) -> list[str]:
    """Return the processor; with KVM, Windows then says through the hypervisor why it stopped."""
    if accelerator == KVM:
        windows = ",hv-relaxed=on,hv-vapic=on,hv-spinlocks=0x1fff,hv-time=on,hv-crash=on"
        return ["-cpu", f"host{windows if architecture == 'x86' else ''}"]
    return ["-cpu", "max"]


def _firmware(machine: Machine) -> list[str]:
    if machine.firmware is None:
        return []
    code, variables = (_escaped(path) for path in machine.firmware)
    return [
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
        "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
    ]  # fmt: skip


def _identity() -> list[str]:
    return [
        "-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova",
        "-smbios", "type=3,asset=HUAWEICLOUD",
    ]  # fmt: skip


def _graphics(machine: Machine) -> list[str]:
    """Return a card; with BIOS one without a driver of its own, so that it stays in text mode."""
    if machine.architecture == "arm":
        return ["-device", "ramfb"]
    return ["-vga", "std"] if machine.firmware else ["-device", "isa-vga"]


def _file(disk: str) -> str:
    if disk.startswith("nbd:"):
        path = disk.removeprefix("nbd:unix:")
        return f"file.driver=nbd,file.server.type=unix,file.server.path={_escaped(path)}"
    kind = "host_device" if disk.startswith("/dev/") else "file"
    return f"file.driver={kind},file.filename={_escaped(disk)}"


def _network(places: Places) -> list[str]:
    if places.metadata is None:
        return []
    answer = _escaped(shlex.join(places.metadata))
    return [
        "-netdev", "user,id=net,restrict=on,ipv6=off,net=169.254.169.0/24,host=169.254.169.2,"
        f"dns=169.254.169.3,dhcpstart=169.254.169.15,guestfwd=tcp:{METADATA_ADDRESS}:80-cmd:{answer}",
        "-device", f"virtio-net-pci,netdev=net,mac={MAC},romfile=",
    ]  # fmt: skip


def _escaped(value: str | Path) -> str:
    """Write a value so that QEMU's options take its commas for themselves."""
    return str(value).replace(",", ",,")


def shown(words: Sequence[str]) -> str:
    """Return a command line that a shell takes."""
    return shlex.join(words)


def said_to_monitor(name: str, **arguments: object) -> bytes:
    """Return a command of QEMU's monitor protocol as a line."""
    return json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n"
