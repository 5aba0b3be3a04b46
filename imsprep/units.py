"""Units: what sizes are counted in, and how a person reads sizes and numbers of things.

Everything inside imsprep is in bytes. KiB, MiB, GiB and TiB are powers of two.
"""

from imsprep.errors import UsageError

SECTOR = 512
KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}


def parse_size(text: str, *, least: int = 0) -> int:
    """Return the number of bytes that a text says: `4096`, `64k`, `2MiB`, `1g`; or UsageError."""
    plain = text.strip().lower().removesuffix("ib").removesuffix("b")
    number, unit = (plain[:-1], plain[-1:]) if plain[-1:] in "kmgt" and plain else (plain, "")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise UsageError(f"{text!r} is not a size; write 2097152, 2m or 2MiB") from None
    if size < least:
        raise UsageError(f"{text!r} is too small; at least {least}")
    return size


def ceil_div(value: int, divisor: int) -> int:
    """Divide and round up: how many pieces of `divisor` hold `value`."""
    return -(-value // divisor)


def round_up(value: int, multiple: int) -> int:
    """Round `value` up to the next multiple of `multiple`."""
    return ceil_div(value, multiple) * multiple


def counted(number: int, noun: str) -> str:
    """Write a number of things for a person: `1 file`, `2 files`, `3 entries`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"


def format_size(size: int) -> str:
    """Write a number of bytes for a person: `1.5 GiB`, `512 bytes`."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return "1 byte" if size == 1 else f"{size} bytes"


def rough_size(size: int) -> str:
    """Write an estimate of bytes: `about 90 MiB`, `about 1.8 GiB`."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            number = size / unit
            return f"about {number:.2g} {name}" if number < 99.5 else f"about {number:.3g} {name}"
    return f"about {size} bytes"


def format_seconds(seconds: float) -> str:
    """Return a duration as a person says it: `0.4 s`, `31 s`, `1 min 52 s`, `2 h 5 min`."""
    if seconds < 9.5:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_ratio(ratio: float) -> str:
    """Return a ratio as a person says it: `1.5 to 1`, `4096 to 1`."""
    return f"{ratio:.0f} to 1" if ratio >= 99.95 else f"{ratio:.3g} to 1"


def exact_size(size: int) -> str:
    """Write a number of bytes for a person and to the byte: `1.5 GiB (1610612736 bytes)`."""
    return format_size(size) if size < KIB else f"{format_size(size)} ({size} bytes)"
