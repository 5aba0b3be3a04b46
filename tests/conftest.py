"""Fixtures that several test files use."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings

from imsprep import cli
from tests.support import house
from tests.support.running import Outcome as Outcome
from tests.support.running import need as need
from tests.support.running import slow as slow

# A shell's background ignores Ctrl-C, and so would each program that a test starts from there.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

house.watch()

# A busy machine must not fail a property: no time is measured.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Of `make quick`; `make test` tries as many examples as each property asks for.
settings.register_profile("quick", settings.get_profile("house"), max_examples=20)
# Where one failure is enough and need not be made small: when faults are planted.
settings.register_profile(
    "failing", settings.get_profile("quick"), database=None,
    phases=[phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)],
)  # fmt: skip
settings.load_profile("house")


@pytest.fixture
def imsprep(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process: `imsprep("check", path)`."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = cli.run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
