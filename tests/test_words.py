"""The words of the program: the field's own, the same everywhere, and no option in the library.

`BANNED` says what to write instead; docs/architecture.md has the words that mean one thing each.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from imsprep import cli
from imsprep.cli import REMEDIES
from tests.support.paths import ROOT
from tests.support.syntax import nodes

PACKAGE = ROOT / "imsprep"
LIBRARY = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "cli" not in path.parents]

# A whole command may stand in a message: `imsprep check --guest IMAGE`, `sfdisk --verify IMAGE`.
COMMAND = re.compile(r"(imsprep|sfdisk) [^;:]*?--[a-z][a-z-]*")
# Arguments of other programs that imsprep calls.
OF_OTHERS = {"image/qemu/whole.py": {"--output=json"}, "pipeline/machine.py": {"--version"}}


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every string of a module that is not a docstring."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in nodes(path)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes(path):
        if isinstance(node, ast.JoinedStr):  # as one text, so that a command in it is whole
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
            yield node.lineno, "".join(map(str, parts))
            docstrings |= {id(part) for part in node.values}
    for node in nodes(path):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield node.lineno, str(node.value)


def commands(command: click.Command = cli.cli) -> Iterator[click.Command]:
    """Yield every command of the command line."""
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found)


OPTIONS = {
    option
    for command in commands()
    for param in command.params
    for option in (*param.opts, *param.secondary_opts)
    if option.startswith("--")
}


def test_the_library_names_no_option_of_the_command_line() -> None:
    for path in LIBRARY:
        allowed = OF_OTHERS.get(path.relative_to(PACKAGE).as_posix(), set())
        for line, text in strings(path):
            rest = COMMAND.sub("", text)
            found = {o for o in re.findall(r"--[a-z][a-z-]*", rest) if o in OPTIONS}
            assert not found or text in allowed, f"{path}:{line}: {text}"


def test_every_remedy_of_an_error_has_an_option_that_exists() -> None:
    named = {
        item.value
        for path in LIBRARY
        for node in nodes(path)
        if isinstance(node, ast.keyword | ast.Assign | ast.AnnAssign)
        and "remedies" in ast.unparse(node)
        and node.value is not None
        for item in ast.walk(node.value)
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    }
    assert named <= set(REMEDIES)
    assert {offer.split()[0].rstrip(";") for offer in REMEDIES.values()} <= OPTIONS


# A word, and what the manuals of the field have for it.
BANNED = {
    "vouched": "coverage; known from", "vouches": "coverage; known from",
    "told": "given, called with, detected, reported", "anew": "again",
    "beside": "next to; sidecar", "nobody": "the passive voice, or `not known`",
    "somebody": "a user, another program", "whoever": "the caller, the reader, a process that",
    "amiss": "wrong", "hypotheses": "candidates", "placement": "match",
    "plain file": "regular file", "is none of": "is not one of",
    "Say whether": "Return whether", "Tell whether": "Return whether",
    "holds nothing but": "contains only", "composed part": "assembled part",
}  # fmt: skip
# Names that others chose.
OTHERS = {"trial/metadata.py": {"placement"}}  # of EC2's metadata service
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "benchmarks.md"),
]


_BANNED = re.compile(rf"\b({'|'.join(map(re.escape, BANNED))})\b", re.IGNORECASE)


def banned(text: str) -> set[str]:
    """Return the banned words of a text."""
    found = {match[1] for match in _BANNED.finditer(text)}
    # A word with a capital is banned where a sentence begins with it.
    return {word for word in BANNED if word in found or word in {one.lower() for one in found}}


def test_a_module_has_no_banned_word() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        found = banned(path.read_text()) - OTHERS.get(path.relative_to(PACKAGE).as_posix(), set())
        assert {word: BANNED[word] for word in found} == {}, path


def test_a_page_has_no_banned_word() -> None:
    for page in PAGES:
        assert {word: BANNED[word] for word in banned(page.read_text())} == {}, page


def test_every_exception_is_called_an_error() -> None:
    kept = {"Terminated"}  # as KeyboardInterrupt, it is no Exception
    raised = {
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in nodes(path)
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
    }
    assert {name for name in raised if not name.endswith("Error")} <= kept
