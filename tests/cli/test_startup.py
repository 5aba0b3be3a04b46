"""Starting: nothing heavy is imported before it is needed, and nothing that was not asked for is missed."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from imsprep import __version__, cli
from tests.support.document_shell import ROOT, write_disk
from tests.support.running import need

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

_LIST_MODULES = """
import json, sys
before = set(sys.modules)
from imsprep.cli import run
code = run(sys.argv[1:])
names = {name.partition(".")[0] for name in set(sys.modules) - before}
third = [n for n in names if "site-packages" in (getattr(sys.modules.get(n), "__file__", "") or "")]
print(json.dumps([code, sorted(third)]), file=sys.stderr)
"""


def third_party_modules(*arguments: str) -> set[str]:
    """Run a command line and return what it imported from other projects."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    code, names = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return set(names)


def test_the_version_is_the_packages_and_costs_one_library() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imsprep", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"imsprep {__version__}\n"
    assert third_party_modules("--version") == {"click"}
    assert third_party_modules("--help") == {"click"}


_INTERRUPTED_WHILE_LOADED = (
    "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(9)"
)


@pytest.mark.parametrize("module", ["click", "bitarray"])
def test_ctrl_c_while_modules_load_is_one_line_and_no_traceback(
    module: str, tmp_path: Path
) -> None:
    (tmp_path / f"{module}.py").write_text(_INTERRUPTED_WHILE_LOADED)
    (tmp_path / "disk.raw").write_bytes(bytes(4096))
    done = subprocess.run(
        [sys.executable, "-m", "imsprep", "bitmap", "disk.raw"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (130, "imsprep: interrupted")


@pytest.mark.slow
@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_imports_little(name: str) -> None:
    assert third_party_modules(name, "--help") <= {"click", "bitarray", "tqdm"}


# An environment in which only what `pip install imsprep` brings can be imported.
_BARE = f"""
import sys
ALLOWED = {{{", ".join(repr(d.partition(">")[0]) for d in PROJECT["dependencies"])}, "imsprep", "markupsafe"}}

class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if path is None and top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

sys.meta_path.insert(0, Bare)
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_BARE)
    path = f"{tmp_path / 'site'}:{ROOT}"
    return {
        **os.environ,
        "PYTHONPATH": path,
        "HUAWEICLOUD_SDK_AK": "AK",
        "HUAWEICLOUD_SDK_SK": "SK",
    }


def run(environment: dict[str, str], folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "imsprep", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


REQUEST = ("--name", "web01", "--os-version", "Debian GNU/Linux 10.0.0 64bit", "--min-disk", "40")


@pytest.mark.slow
@need("mkfs.ext4")
def test_a_bare_installation_does_all_that_needs_no_extra(
    bare: dict[str, str], tmp_path: Path
) -> None:
    write_disk(tmp_path / "disk.raw")
    for arguments in (
        ("check", "disk.raw", *REQUEST, "--output", "html:out.html", "--output", "sarif:out.sarif"),
        ("bitmap", "disk.raw"),
        ("verify", "disk.raw"),
        ("convert", "disk.raw", "disk.zvhd2"),
        ("check", "disk.zvhd2"),
        ("upload", "disk.raw", "--to", "local:cloud"),
        ("import", "disk.raw", *REQUEST, "--to", "local:cloud", "--dry-run"),
        *((name, "--help") for name in cli.COMMANDS),
    ):
        code, said = run(bare, tmp_path, *arguments)
        assert code == 0, (arguments, said)


@pytest.mark.slow
@need("mkfs.ext4")
@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("upload", "disk.raw", "--to", "obs:bucket", "--region", "eu-de"), "cloud"),
        (("import", "disk.raw", *REQUEST, "--to", "local:cloud"), "emulator"),
        (("import", "disk.raw", *REQUEST, "--to", "obs:bucket", "--region", "eu-de"), "cloud"),
        (("wait", "8a12fc664fb4daa3014fb4e581380005", "--region", "eu-de"), "cloud"),
        (("emulator", "--data", "cloud"), "emulator"),
        (("demo",), "emulator"),
    ],
)
def test_what_needs_an_extra_names_it(
    bare: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], extra: str
) -> None:
    write_disk(tmp_path / "disk.raw")
    code, said = run(bare, tmp_path, *arguments)
    assert code == 2, said
    assert f"pip install 'imsprep[{extra}]'" in " ".join(said.split())


@pytest.mark.slow
@need("mkfs.ext4")
def test_a_look_inside_without_its_libraries_says_what_is_missing(
    bare: dict[str, str], tmp_path: Path
) -> None:
    write_disk(tmp_path / "disk.raw")
    code, said = run(bare, tmp_path, "check", "disk.raw", "--guest")
    assert code == 2, said
    assert "pip install 'imsprep[guest]'" in " ".join(said.split())


def test_what_options_say_without_loading_the_library_is_what_the_library_says() -> None:
    from imsprep.pipeline import upload_formats, values
    from imsprep.scan import holes
    from imsprep.zvhd2 import convert

    options = {
        option.name: option
        for option in importlib.import_module("imsprep.cli.commands.imports.import_").command.params
    }
    rates = (upload_formats.BANDWIDTH, upload_formats.LOCAL_BYTES_PER_S)
    said = "(default: {:.0f}; with --to local: {:.0f})".format(*rates)
    assert said in options["bandwidth"].help
    for name, known in (
        ("via", upload_formats.VIA),
        ("cleanup", values.CLEANUP),
        ("holes", holes.HOLES),
    ):
        assert tuple(options[name].type.choices) == known
    (to_format,) = [
        o
        for o in importlib.import_module("imsprep.cli.commands.steps.convert").command.params
        if o.name == "to_format"
    ]
    assert tuple(to_format.type.choices) == convert.TARGETS
