"""`imsprep completion`: what a shell has to run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.support.running import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_what_it_reads(imsprep: Run, shell: str) -> None:
    done = imsprep("completion", shell)
    assert done.code == 0
    assert "_IMSPREP_COMPLETE" in done.out
    program = shutil.which(shell)
    if program is not None:
        subprocess.run([program, "-n"], input=done.out, text=True, check=True)


def test_another_shell_is_wrong_usage(imsprep: Run) -> None:
    done = imsprep("completion", "tcsh")
    assert done.code == 2
    assert "tcsh" in done.err
