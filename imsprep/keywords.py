"""Keywords: let a function of an options value take the fields of that value as keywords.

    @with_keywords(ScanOptions)
    def scan(image, options): ...

    scan("disk.raw", jobs=2)

The decorated function has the signature of the class, for type checkers as for `help`.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
O_ = TypeVar("O_")
R = TypeVar("R")


def with_keywords(
    options: Callable[P, O_],
) -> Callable[[Callable[[A, O_], R]], Callable[Concatenate[A, P], R]]:
    """Decorate a function of one argument and options."""
    fields = inspect.signature(options)

    def decorate(function: Callable[[A, O_], R]) -> Callable[Concatenate[A, P], R]:
        @functools.wraps(function)
        def call(a: A, /, *args: P.args, **keywords: P.kwargs) -> R:
            _refuse_what_does_not_fit(function, fields, args, keywords)
            return function(a, options(*args, **keywords))

        _sign(call, function, options)
        return call

    return decorate


def with_keywords_after_two(
    options: Callable[P, O_],
) -> Callable[[Callable[[A, B, O_], R]], Callable[Concatenate[A, B, P], R]]:
    """Decorate a function of two arguments and options."""
    fields = inspect.signature(options)

    def decorate(function: Callable[[A, B, O_], R]) -> Callable[Concatenate[A, B, P], R]:
        @functools.wraps(function)
        def call(a: A, b: B, /, *args: P.args, **keywords: P.kwargs) -> R:
            _refuse_what_does_not_fit(function, fields, args, keywords)
            return function(a, b, options(*args, **keywords))

        _sign(call, function, options)
        return call

    return decorate


def _refuse_what_does_not_fit(
    function: Callable[..., object],
    fields: inspect.Signature,
    args: tuple[object, ...],
    keywords: Mapping[str, object],
) -> None:
    """Raise TypeError in the name of the function that was called, not of its options."""
    try:
        fields.bind(*args, **keywords)
    except TypeError as error:
        why, unknown = str(error), [name for name in keywords if name not in fields.parameters]
        if unknown:  # it explains what is missing, too
            near = difflib.get_close_matches(unknown[0], fields.parameters, n=1)
            advice = f"; did you mean {near[0]!r}?" if near else ""
            why = f"got an unexpected keyword argument {unknown[0]!r}{advice}"
        raise TypeError(f"{function.__name__}() {why}") from None


def _sign(call: Any, function: Callable[..., object], options: Callable[..., object]) -> None:
    """Give the decorated function the signature that it has."""
    own = inspect.signature(function)
    first = [p.replace(kind=p.POSITIONAL_ONLY) for p in list(own.parameters.values())[:-1]]
    fields = list(inspect.signature(options).parameters.values())
    fields.sort(key=lambda p: (p.default is not p.empty, p.name))  # what must be given comes first
    call.__signature__ = own.replace(parameters=[*first, *fields])
