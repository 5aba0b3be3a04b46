"""What a machine has for a boot: what is missing is named with its package."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from imsprep.errors import MissingExtraError
from imsprep.trial import programs
from imsprep.trial.plan import Architecture


@pytest.mark.parametrize(
    ("architecture", "package"), [("x86", "qemu-system-x86"), ("arm", "qemu-system-arm")]
)
def test_qemu_is_found_or_its_package_named(
    architecture: Architecture, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}")
    assert programs.find_qemu(architecture).startswith("/opt/qemu-system-")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingExtraError, match=f"apt install {package}$"):
        programs.find_qemu(architecture)


@pytest.mark.parametrize(
    ("architecture", "package"), [("x86", "ovmf"), ("arm", "qemu-efi-aarch64")]
)
def test_firmware_is_code_and_variables_together(
    architecture: Architecture, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[object] = []
    monkeypatch.setattr(
        os.path, "exists", lambda path: not there or "VARS" not in str(path).upper()
    )
    code, variables = programs.find_firmware(architecture)
    assert isinstance(code, Path)
    assert code != variables
    there.append("only the code")
    with pytest.raises(MissingExtraError, match=f"apt install {package}$"):
        programs.find_firmware(architecture)


def test_kvm_is_for_machines_of_its_own_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert programs.why_no_kvm("qemu", "x86") == "this machine is riscv64"
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    assert programs.why_no_kvm("qemu", "x86") == "there is no /dev/kvm"
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "join the group kvm" in (programs.why_no_kvm("qemu", "x86") or "")


@pytest.mark.parametrize(("writes", "works"), [("K", True), ("?", False), ("", False)])
def test_a_guest_has_to_speak(
    writes: str, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script stands for QEMU: it writes where the guest's serial console goes."""
    program = tmp_path / "qemu"
    program.write_text(
        "#!/bin/sh\nfor word; do case $word in file:*) serial=${word#file:};; esac; done\n"
        f"printf '%s' '{writes}' > \"$serial\"\nexec sleep 30\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(programs, "TRIAL_S", 5.0 if works else 0.3)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert (programs.why_no_kvm(str(program), "x86") is None) is works
