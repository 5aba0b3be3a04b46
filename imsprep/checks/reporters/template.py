"""The pages' templates: Jinja2 over the templates and style sheets in `data/`.

A template escapes everything that it is given; only the style sheets are taken as they are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def page(template: str, styles: tuple[str, ...], **values: object) -> str:
    """Return the page of a template in `data/`, in the style of some sheets, with these values."""
    from markupsafe import Markup

    style = Markup("".join(map(_data, styles)))
    text = _environment().get_template(template).render(style=style, **values)
    return text.strip() + "\n"


@cache
def _environment() -> Environment:
    # Loading it takes as long as a small check.
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=FunctionLoader(_data),
    )  # fmt: skip


def _data(name: str) -> str:
    return resources.files("imsprep").joinpath("data", name).read_text("utf-8")
