"""Disks of one sector that say something on the serial console: real guests that start in a second.

The code is for a BIOS: real mode, at 0x7C00. Written by hand after Intel's manual.
"""

from __future__ import annotations

from imsprep.units import MIB

HALT, RESTART, SWITCH_OFF = "halt", "restart", "switch off"

# mov dx, 3f8 / mov si, text / lodsb / test al, al / jz end / out dx, al / jmp back
_SAY = bytes.fromhex("fa31c08ed8fcbaf803be607cac84c07403eeebf8")
_END = {
    HALT: bytes.fromhex("f4ebfd"),
    RESTART: bytes.fromhex("b0fee664ebfe"),  # pulse the reset line by the keyboard's controller
    # 0x2000 to port 0x604 (q35) and 0xB004 (PIIX4's power management)
    SWITCH_OFF: bytes.fromhex("b80020ba0406efba04b0eff4ebfd"),
}
_TEXT_AT = 0x60
# int 10h, function 0Eh, letter by letter
_SHOW = bytes.fromhex("fa31c08ed8fcbe607cac84c07406b40ecd10ebf5f4ebfd")


def saying(text: str, then: str = HALT, size: int = 2 * MIB) -> bytes:
    """Return a disk that writes a text to the serial console."""
    return _sector(_SAY + _END[then], text, size)


def showing(text: str, size: int = 2 * MIB) -> bytes:
    """Return a disk that writes a text to the screen."""
    return _sector(_SHOW, text, size)


def _sector(code: bytes, text: str, size: int) -> bytes:
    sector = code.ljust(_TEXT_AT, b"\0") + text.encode() + b"\0"
    assert len(code) <= _TEXT_AT
    assert len(sector) <= 440
    return (sector.ljust(510, b"\0") + b"\x55\xaa").ljust(size, b"\0")
