"""How a test runs a command, skips for want of a program, or is a slow one."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Outcome:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed on stdout, as JSON."""
        return json.loads(self.out)


def slow(*values: object) -> Any:
    """A row of a parametrized test that only `make test` runs."""
    return pytest.param(*values, marks=pytest.mark.slow)


def need(*tools: str) -> pytest.MarkDecorator:
    """Skip a test where a program is missing, and say which."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
