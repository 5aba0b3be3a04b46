"""Faults: what the emulator does wrong on request, so that a client can be tried against it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from imsprep.errors import UsageError


@dataclass(frozen=True)
class Faults:
    """How the emulator misbehaves; all off by default. Counts are spent one per request."""

    slow_job_s: float = 0.0  # a job takes at least so long, with its progress growing
    refuse: str = ""  # every import is refused at once with this code
    fail_job: str = ""  # every job ends as FAIL with this IMG code
    unique_names: bool = False  # a name that an image has is refused
    no_windows: bool = False  # Windows is refused, as Huawei Cloud announced
    null_reasons: bool = False  # a failed job tells neither code nor reason
    nested_reason: bool = False  # a failed job tells them only in a sub-job
    early_image_id: bool = False  # a running job shows an image_id
    odd_status: bool = False  # a running job has a status that no document knows
    query_429: int = 0  # so many job queries are answered 429
    query_503: int = 0  # so many job queries are answered 503
    query_drop: int = 0  # so many job queries get no answer
    post_429: int = 0  # so many imports are refused with 429
    post_500: int = 0  # so many imports are answered 500 and not accepted
    post_503: int = 0  # so many imports are answered 503 and not accepted
    post_drop: int = 0  # so many imports are accepted and get no answer
    post_lost: int = 0  # so many imports are not accepted and get no answer

    def spent(self, name: str) -> Faults:
        """Return the faults with one of a counted kind used up."""
        return replace(self, **{name: getattr(self, name) - 1})


def parse(words: list[str]) -> Faults:
    """Read `name` or `name=value` words, as the command line has them; UsageError if unknown."""
    known = {f.name.replace("_", "-"): f for f in fields(Faults)}
    values: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        field = known.get(name)
        if field is None:
            raise UsageError(f"no fault is called {name!r}; there are: {', '.join(known)}")
        kind: type[Any] = type(field.default)
        try:
            values[field.name] = kind(text) if text else kind(1)
        except ValueError:
            raise UsageError(f"the fault {name} needs a number, got {text!r}") from None
    return Faults(**values)
