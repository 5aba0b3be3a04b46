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

SOURCES = Path(__file__).resolve().parent.parent


def install_command(extra: str) -> str:
    """Return a line for a shell that installs an extra, such as `pip install 'imsprep[cloud]'`."""
    from_folder = not _is_there("imsprep") and (SOURCES / "pyproject.toml").is_file()
    part = f"{SOURCES if from_folder else 'imsprep'}[{extra}]"
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
    from importlib import metadata  # here: only a failure needs it, and it costs every start

    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
