"""What this machine has for a boot: QEMU, the firmware of UEFI, and whether its KVM works.

A /dev/kvm says little: on some machines it is there, and every guest hangs. So a guest of one
sector is started that goes into 64-bit mode and writes a letter to the serial console.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from imsprep.errors import MissingExtraError
from imsprep.trial.plan import KVM, PROGRAMS, Architecture, processor

_PACKAGES = {"x86": "qemu-system-x86", "arm": "qemu-system-arm"}
_FIRMWARE_PACKAGES = {"x86": "ovmf", "arm": "qemu-efi-aarch64"}
# Code and variables, as Debian and Ubuntu, Fedora, openSUSE, Arch have them.
FIRMWARE = {
    "x86": (
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
        ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
        ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ),
    "arm": (
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
         "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
        ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),
    ),
}  # fmt: skip
_MACHINES = {"x86": ("x86_64", "amd64"), "arm": ("aarch64", "arm64")}
TRIAL_S, _STEP_S = 5.0, 0.05

# A boot sector: page tables for the first 2 MiB at 0x1000, long mode, `K` to the serial console.
_TRIAL = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007c"  # cli; ds, es, ss = 0; sp = 0x7c00
    "bf0010b90018fcf3ab"  # zeros for three tables at 0x1000
    "c70600100320c70600200330c70600308300"  # each names the next; the last a page of 2 MiB
    "66b8001000000f22d866b8200000000f22e0"  # cr3 = 0x1000; cr4: PAE
    "66b9800000c00f320d00010f30"  # EFER: long mode
    "0f0116737c66b8010000800f22c0ea597c0800"  # lgdt; cr0: protected, paging; far jump
    "66baf803b04beef4ebf6"  # out 0x3f8, 'K'; halt
    "0000000000000000" "00000000009a2000" "0f00637c0000"  # the descriptors, and where they are
).ljust(510, b"\0") + b"\x55\xaa"  # fmt: skip


def find_qemu(architecture: Architecture) -> str:
    """Return QEMU's path; MissingExtraError names the package."""
    program = shutil.which(PROGRAMS[architecture])
    if program is None:
        raise MissingExtraError(
            f"starting an image needs {PROGRAMS[architecture]}; on Debian or Ubuntu: apt install"
            f" {_PACKAGES[architecture]}"
        )
    return program


def find_firmware(architecture: Architecture) -> tuple[Path, Path]:
    """Return UEFI's code and an empty store of variables; MissingExtraError names the package."""
    for code, variables in FIRMWARE[architecture]:
        if os.path.exists(code) and os.path.exists(variables):
            return Path(code), Path(variables)
    raise MissingExtraError(
        "starting an image by UEFI needs its firmware; on Debian or Ubuntu: apt install"
        f" {_FIRMWARE_PACKAGES[architecture]}"
    )


def why_no_kvm(program: str, architecture: Architecture) -> str | None:
    """Try KVM; return why it cannot be used, or None if it works."""
    if platform.machine() not in _MACHINES[architecture]:
        return f"this machine is {platform.machine()}"
    if not os.path.exists("/dev/kvm"):
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm may not be opened; join the group kvm"
    if architecture == "arm" or _speaks(program):
        return None
    return "/dev/kvm is there, but a guest does not start with it"


def _speaks(program: str) -> bool:
    """Return whether the trial's guest writes its letter within the time."""
    with tempfile.TemporaryDirectory(prefix="imsprep-") as folder:
        disk, serial = Path(folder, "disk"), Path(folder, "serial")
        disk.write_bytes(_TRIAL)
        command = [program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                   "-accel", KVM, *processor(KVM, "x86"), "-m", "32", "-serial", f"file:{serial}",
                   "-drive", f"if=ide,format=raw,file={disk}"]  # fmt: skip
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            deadline = time.monotonic() + TRIAL_S
            while process.poll() is None and time.monotonic() < deadline:
                if serial.exists() and serial.read_bytes() == b"K":
                    return True
                time.sleep(_STEP_S)
            return False
        finally:
            process.kill()
            process.wait()
