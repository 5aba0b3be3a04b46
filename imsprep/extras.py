"""Extras: the command that installs an optional part of imsprep into the Python that runs it.

Of an imsprep that is installed, be it from the sources or from a release, pip takes
`imsprep[NAME]` from that installation's own metadata, and asks an index only for the packages that
are missing. Sources that run from their folder are named by the folder.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from imsprep.errors import ImsprepError, MissingExtraError

_SOURCES = Path(__file__).resolve().parent.parent


def message_of(error: ImsprepError) -> str:
    """Return the message of an error, with the command that installs what it misses."""
    if isinstance(error, MissingExtraError) and error.extra:
        return f"{error}; install with: {install_command(error.extra)}"
    return str(error)


def install_command(extra: str) -> str:
    """Return a line for a shell that installs an extra, such as `pip install 'imsprep[cloud]'`."""
    from_folder = not _is_there("imsprep") and (_SOURCES / "pyproject.toml").is_file()
    part = f"{_SOURCES if from_folder else 'imsprep'}[{extra}]"
    return f"{_installer()} {shlex.quote(part)}"


def _installer() -> str:
    """Return what installs into this Python, whatever environment the shell is in."""
    pip = shutil.which("pip")
    if pip and Path(pip).parent == Path(sys.executable).parent:
        return "pip install"
    python = shlex.quote(sys.executable)
    if not _is_there("pip") and shutil.which("uv"):
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"


def _is_there(distribution: str) -> bool:
    import importlib.metadata  # here: only a failure needs it, and loading it costs every start

    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
