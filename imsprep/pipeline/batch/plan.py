"""The batch plan: which images, each with its request, as YAML text.

    defaults:                    # optional: what holds for every image that does not say otherwise
      to: obs:my-bucket
      min-disk: 40
    images:
      - image: web01.raw         # a path, relative to the plan's folder
        name: web01
        os-version: Ubuntu 18.04 server 64bit

Keys are the options of `imsprep import` without their dashes. A value is the text that stands
there: `007` is not 7, and `no` is no boolean. An option that may be repeated takes a list, a flag
`true` or `false`, and `null` takes back what the defaults say. Whatever is not understood is an
error with its line, and all errors are reported together.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from imsprep.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, ScalarNode, SequenceNode

    Node = MappingNode | ScalarNode | SequenceNode

TEXT, LIST, FLAG = "text", "list", "flag"
IMAGE, IMAGES, DEFAULTS = "image", "images", "defaults"
_NULLS = ("", "~", "null", "Null", "NULL")
_FLAGS = {"true": True, "false": False}
_SECRETS = ("secret", "token", "password", "passwd", "credential", "access", "ak", "sk")

Value = str | tuple[str, ...] | bool | None


@dataclass(frozen=True)
class KnownOptions:
    """The options that an image may have; the name of each with TEXT, LIST or FLAG."""

    options: Mapping[str, str]
    per_image: Collection[str] = ()  # those that defaults cannot give


@dataclass(frozen=True)
class PlanEntry:
    """One image of a plan. `options` holds what is given, `lines` where each stands."""

    image: str
    line: int
    options: Mapping[str, Value]
    lines: Mapping[str, int]
    understood: bool = True  # False: what it lacks may be what could not be read


@dataclass
class _Reading:
    """A plan being read: its name, what it may say, and the mistakes so far."""

    source: str
    known: KnownOptions
    mistakes: list[tuple[int, str]]

    def wrong(self, line: int, text: str) -> None:
        self.mistakes.append((line, text))


def parse(
    text: str, source: str, known: KnownOptions, mistakes: list[tuple[int, str]]
) -> tuple[PlanEntry, ...]:
    """Read a plan; `source` is its name for messages. Every mistake is noted with its line.

    Raises UsageError for what is no YAML, MissingExtraError without PyYAML.
    """
    reading = _Reading(source, known, mistakes)
    top = _mapping(reading, _compose(text, source), "the plan", (DEFAULTS, IMAGES))
    defaults: dict[str, tuple[int, Value]] = {}
    if DEFAULTS in top:
        defaults = _options(reading, top[DEFAULTS], "defaults")
        for name in sorted(set(defaults) & {IMAGE, *known.per_image}):
            line = defaults.pop(name)[0]
            reading.wrong(line, f"{name!r} belongs to each image, not to the defaults")
    return tuple(_entries(reading, top.get(IMAGES), defaults))


def refuse(source: str, mistakes: list[tuple[int, str]]) -> None:
    """Raise UsageError with all mistakes, in the order of their lines; none is no error.

    One of the defaults is that of every image, and listed once.
    """
    if mistakes:
        lines = [f"{source}:{line}: {text}" for line, text in sorted(set(mistakes))]
        count = "a mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise UsageError("\n  ".join([f"the plan has {count}, and nothing was started:", *lines]))


def _compose(text: str, source: str) -> Node:
    """Return the tree of YAML nodes: no tag is obeyed, nothing is constructed."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("a plan needs PyYAML", extra="batch") from error
    try:
        node = cast("Node | None", yaml.compose(text, Loader=yaml.BaseLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise UsageError(f"{source}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise UsageError(f"{source}: not a plan: nested too deeply") from None
    if node is None:
        raise UsageError(f"{source}: the plan is empty; it needs {IMAGES!r}")
    return node


def _mapping(reading: _Reading, node: Node, what: str, keys: Collection[str]) -> dict[str, Node]:
    """Return a mapping's nodes by key; what is none, unknown or doubled is noted."""
    found: dict[str, Node] = {}
    if node.id != "mapping":
        reading.wrong(
            _line(node), f"{what} must be a mapping of keys to values, got a {_word(node)}"
        )
        return found
    for key, value in node.value:
        name = str(key.value) if key.id == "scalar" else "?"
        if name in found:
            first = _line(found[name])
            reading.wrong(_line(key), f"{name!r} is given twice in {what}, first on line {first}")
        elif name not in keys:
            reading.wrong(_line(key), _unknown(name, what, keys))
        else:
            found[name] = value
    return found


def _unknown(name: str, what: str, keys: Collection[str]) -> str:
    if any(word in name.lower().replace("-", "_").split("_") for word in _SECRETS):
        return (
            f"{what}: {name!r} is not a key of a plan; credentials come from the environment or a"
            " file of the machine that imports, never from here"
        )
    near = difflib.get_close_matches(name.replace("_", "-"), keys, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(keys)}"
    return f"unknown key {name!r} in {what}; {hint}"


def _entries(
    reading: _Reading, node: Node | None, defaults: Mapping[str, tuple[int, Value]]
) -> Iterator[PlanEntry]:
    if node is None or node.id != "sequence" or not node.value:
        line = 1 if node is None else _line(node)
        reading.wrong(line, f"the plan needs {IMAGES!r}, a list with an entry for every image")
        return
    sound = not reading.mistakes  # the defaults
    for number, child in enumerate(node.value, 1):
        before = len(reading.mistakes)
        given = _options(reading, child, f"image {number}")
        _, image = given.pop(IMAGE, (0, None))
        if not isinstance(image, str):
            if child.id == "mapping":
                reading.wrong(_line(child), f"image {number} needs {IMAGE!r}, the path of a file")
            continue
        both = {**defaults, **given}
        options = {name: value for name, (_, value) in both.items() if value is not None}
        lines = {name: line for name, (line, _) in both.items()}
        understood = sound and len(reading.mistakes) == before
        yield PlanEntry(image, _line(child), options, lines, understood)


def _options(reading: _Reading, node: Node, what: str) -> dict[str, tuple[int, Value]]:
    """Return the options of one mapping, each with its line; None takes a default back."""
    keys = (IMAGE, *reading.known.options)
    found = {}
    for name, value in _mapping(reading, node, what, keys).items():
        kind = TEXT if name == IMAGE else reading.known.options[name]
        try:
            found[name] = (_line(value), _value(value, kind))
        except ValueError as error:
            reading.wrong(_line(value), f"{name!r} in {what} {error}")
    return found


def _value(node: Node, kind: str) -> Value:
    """Return a value as its option takes it; ValueError says what was expected."""
    plain = node.id == "scalar" and getattr(node, "style", None) is None
    if plain and node.value in _NULLS:
        return None
    if kind == LIST:
        children = node.value if node.id == "sequence" else [node]
        if any(child.id != "scalar" for child in children):
            raise ValueError(f"must be a list of strings, got a {_word(node)}")
        return tuple(str(child.value) for child in children)
    if node.id != "scalar":
        raise ValueError(f"must be one value, got a {_word(node)}")
    if kind == FLAG:
        if not plain or node.value.lower() not in _FLAGS:
            raise ValueError(f"must be true or false, got {node.value!r}")
        return _FLAGS[node.value.lower()]
    return str(node.value)


def _line(node: Node) -> int:
    return node.start_mark.line + 1


def _word(node: Node) -> str:
    return {"scalar": "single value", "sequence": "list", "mapping": "mapping"}[node.id]


def clashes(
    claimed: Iterable[tuple[PlanEntry, Iterable[tuple[str, str]]]],
) -> list[tuple[int, str]]:
    """Return a mistake for everything that two images claim: in words, and as a value."""
    first: dict[tuple[str, str], PlanEntry] = {}
    mistakes = []
    for entry, claims in claimed:
        for word, value in claims:
            kind = "the object" if word == "the bitmap's object" else word  # in one bucket
            other = first.setdefault((kind, value), entry)
            if other is not entry:
                text = (
                    f"{entry.image}: {word} {value} is that of {other.image} on line {other.line}"
                )
                mistakes.append((entry.line, f"{text} too; {_ADVICE.get(word, 'name each once')}"))
                break  # what follows from it is not worth a line
    return mistakes


_ADVICE = {
    "the name": "give each its own",
    "the object": "give one of them another 'key'",
    "the bitmap's object": "give one of them another 'key'",
    "the container": "give one of them another 'work-dir'",
    "the manifest": "rename one of the files, or move it to another folder",
}
