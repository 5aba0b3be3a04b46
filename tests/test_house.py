"""The house rules: imports point down, modules, functions and lines of prose stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "imsprep"

# Layer of each module, from architecture.md in docs/. A module may import its own layer's elders
# (listed before it) and lower layers, never a higher one.
LAYERS = {
    "units": 0, "errors": 0, "report": 0,
    "blockmap": 1, "bitmapfacts": 1, "facts": 1, "request": 1, "formats": 1, "partitions": 1, "volumes": 1, "geometry": 1, "sites": 1,
    "atomic": 2, "locking": 2, "guest": 2, "image": 2, "gather": 2,
    "refusals": 1, "job": 1, "credentials": 2, "endpoints": 1, "ims": 2, "waiting": 2,
    "zvhd2": 1, "zvhd2_codec": 1, "zvhd2_faults": 1, "container": 2, "payloads": 2,
    "layout": 1, "bitmapfile": 1, "probe": 1, "hypotheses": 1, "framing": 1, "learn": 1,
    "interchange": 1, "layoutfile": 2, "sidecar": 2, "beside": 2, "pairing": 3, "matching": 3,
    "speed": 2, "bench": 3, "estimate": 3,
    "disks": 2, "heap": 2, "workers": 2, "writebehind": 2, "zvhd2_writer": 2, "unpacking": 2, "foreign": 1, "nbd": 2, "qemudisk": 2, "convert": 3, "packed": 3, "summary": 3,
    "submission": 3, "manifest": 3, "routes": 3, "choosing": 3, "prepare": 4, "pipeline": 4,
    "batchplan": 1, "batch": 4, "batchjournal": 4,
    "store": 1, "bucket": 1, "region": 1, "parts": 1,
    "sparse": 2, "plainfile": 2, "unfinished": 2, "directory": 2, "mounts": 2, "look": 2, "tasks": 1, "reader": 2, "readers": 2, "fullread": 2, "scan": 2, "obs": 2, "journal": 2, "window": 2, "retry": 2, "targets": 2,
    "completing": 2, "held": 2, "zeros": 3, "composing": 3, "transfer": 3, "sending": 3, "leftovers": 3,
    "checks": 3,
    "demodisk": 2, "config": 3, "emulator": 4, "reporters": 4, "preflight": 4,
    "cli": 5, "__main__": 5,
}  # fmt: skip

PURE_LAYERS = (0, 1)
IMPURE_IMPORTS = {"socket", "threading", "_thread", "subprocess", "time", "random", "secrets", "tempfile", "shutil", "mmap"}  # fmt: skip

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_PROSE_WIDTH = 100  # as the code

# Longer on purpose; each with its reason.
LONG_MODULES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}

MODULES = sorted(PACKAGE.rglob("*.py"))
# Written by hand; what `make docs` writes has the lines of its tables and help texts.
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in (ROOT / "docs").glob("*.md") if page.name != "benchmarks.md"),
]


def layer_name(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    guarded = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "imsprep":
                yield from (f"imsprep.{alias.name}" for alias in node.names)
            else:
                yield node.module


def own_layer(path: Path) -> int | None:
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return None if name == "__init__" else LAYERS[name]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    layer = own_layer(path)
    for name in imports(path):
        if layer is None or not name.startswith("imsprep."):
            continue
        target = layer_name(name)
        if target == "__version__":
            continue
        assert LAYERS[target] <= layer, f"{path.name} (layer {layer}) imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_core_is_pure(path: Path) -> None:
    if own_layer(path) in PURE_LAYERS:
        assert not {n.split(".")[0] for n in imports(path)} & IMPURE_IMPORTS


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_MODULE_LINES or path.name in LONG_MODULES


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_function_is_small(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Decorators are declarations (a command's options), not the function's work.
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES or node.name in LONG_FUNCTIONS, node.name


def test_nobody_but_the_command_line_imports_the_emulator() -> None:
    for path in MODULES:
        inside = path.relative_to(PACKAGE).parts[0]
        if inside not in ("emulator", "cli"):
            assert not any(n.startswith("imsprep.emulator") for n in imports(path)), path


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_prose_of_a_page_is_wrapped(page: Path) -> None:
    fenced = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        # A table's row, a heading and what cannot be broken stay on one line.
        if not fenced and not line.startswith(("|", "#")) and " " in line.strip():
            assert len(line) <= MAX_PROSE_WIDTH, f"{page.name}:{number} has {len(line)} characters"
