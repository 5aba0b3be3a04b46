"""The command as a process: what is set before anything else is loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from imsprep import __version__


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imsprep", "--version"], capture_output=True, text=True, check=True
    )
    assert __version__ in done.stdout
    assert done.stderr == ""


# Prepares as `main` does, and stops where the command line would be loaded.
_PREPARE = """
import os, signal, sys
sys.modules["imsprep.cli"] = None
from imsprep import __main__
try:
    __main__.main()
except ImportError:
    pass
"""


def prepared(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE + code], capture_output=True, text=True, check=True,
        env={**{k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}, **environment},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize(("given", "used"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "4"}, "4")])
def test_numpy_starts_no_threads_unless_asked(given: dict[str, str], used: str) -> None:
    assert prepared('print(os.environ["OPENBLAS_NUM_THREADS"])', **given) == used


@pytest.mark.skipif(not hasattr(os, "kill"), reason="not available: signals")
def test_ctrl_c_ends_it_at_once_and_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE + "os.kill(os.getpid(), signal.SIGINT)"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "imsprep: interrupted\n")


def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + _PREPARE
    code += "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    done = subprocess.run(
        [sys.executable, "-c", "import signal\n" + code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
    assert signal.SIGINT == 2
