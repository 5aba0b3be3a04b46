"""A package that can be called: `imsprep.scan(image)` is `imsprep.api.scan(image)`.

`imsprep.scan` and `imsprep.upload` are packages, and the names of public functions. Python sets a
package as an attribute of the one above it as soon as a module of it is loaded, so that a function
of that name would come and go; this way the name means both, at any time.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from inspect import Signature, signature
from types import ModuleType


class CallablePackage(ModuleType):
    """A package that passes its calls on to the function of its name."""

    def __call__(self, *args: object, **keywords: object) -> object:
        """Call the function of `imsprep.api`."""
        return self.__wrapped__(*args, **keywords)

    @property
    def __wrapped__(self) -> Callable[..., object]:
        function: Callable[..., object] = getattr(
            importlib.import_module("imsprep.api"), self.__name__.rpartition(".")[2]
        )
        return function

    @property
    def __signature__(self) -> Signature:
        return signature(self.__wrapped__)


def make_callable(package: str) -> None:
    """Have a loaded package take calls."""
    sys.modules[package].__class__ = CallablePackage
