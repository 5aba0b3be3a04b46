"""The machine's command line: like the cloud's server, and never a way to the image or out."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.trial.plan import KVM, TCG, Machine, Places, command

BIOS = Machine("qemu-system-x86_64", "x86", TCG, 1 << 30, 2, None)
UEFI = BIOS._replace(firmware=(Path("/fw/code"), Path("/tmp/variables")))
ARM = UEFI._replace(program="qemu-system-aarch64", architecture="arm")
PLACES = Places("/images/a,b.raw", Path("/t/serial"), Path("/t/control"), ("python", "x y", "log"))


@pytest.mark.parametrize("machine", [BIOS, UEFI, ARM, BIOS._replace(accelerator=KVM)])
def test_the_image_is_opened_with_an_overlay_and_the_network_is_closed(machine: Machine) -> None:
    words = command(machine, PLACES)
    drives = [
        words[n + 1] for n, word in enumerate(words) if word == "-drive" and "a,,b" in words[n + 1]
    ]
    assert len(drives) == 1
    assert "snapshot=on" in drives[0]
    (net,) = (word for word in words if word.startswith("user,"))
    assert "restrict=on" in net
    assert "guestfwd=tcp:169.254.169.254:80-cmd:python 'x y' log" in net
    assert any(word.startswith("virtio-blk-pci") for word in words)
    assert any(word.startswith("virtio-net-pci") for word in words)


def test_the_firmware_is_the_requests() -> None:
    assert "pflash" not in " ".join(command(BIOS, PLACES))
    assert "if=pflash,unit=0,format=raw,readonly=on,file=/fw/code" in command(UEFI, PLACES)
    assert command(ARM, PLACES)[command(ARM, PLACES).index("-machine") + 1].startswith("virt")


def test_a_disk_behind_a_server_and_a_device_are_named_as_such() -> None:
    assert "file.driver=nbd,file.server.type=unix,file.server.path=/t/disk" in " ".join(
        command(BIOS, PLACES._replace(disk="nbd:unix:/t/disk")))  # fmt: skip
    assert "file.driver=host_device,file.filename=/dev/vg/x" in " ".join(
        command(BIOS, PLACES._replace(disk="/dev/vg/x")))  # fmt: skip


def test_without_a_metadata_service_there_is_no_network() -> None:
    assert "-netdev" not in command(BIOS, PLACES._replace(metadata=None))
