"""The documentation: its commands run, its sessions happen so, its settings load, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
import yaml

from docs import generate
from docs.terminal import COLUMNS, picture
from imsprep import cli
from imsprep.checks import registry
from imsprep.checks.reporters import FORMATS, render
from imsprep.checks.reporters import Run as Run_
from imsprep.checks.reporters.text import WIDTH
from imsprep.cli.settings.layers import load, options
from imsprep.cloud.endpoints import site_for
from imsprep.cloud.sites import SITES
from imsprep.ims import error_codes
from imsprep.options import DEFAULT_SITE
from tests.support.document_shell import ROOT, Block, DocumentShell, blocks, steps
from tests.support.running import Outcome

Run = Callable[..., Outcome]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.exists()]
BLOCKS = [block for page in PAGES for block in blocks(page)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
SESSIONS = [block for block in BLOCKS if block.language == "console"]
PIPELINES = [ROOT / "docs" / "examples" / f"{name}.yml" for name in ("github-actions", "gitlab-ci")]
EXAMPLES = sorted((ROOT / "docs" / "examples").iterdir())
PROGRAMS = ("imsprep", "make", "pip", "pipx", "apt-get")


@pytest.fixture
def shell(tmp_path: Path) -> DocumentShell:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("not installed: mkfs.ext4")
    return DocumentShell(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_of_a_page_run(shell: DocumentShell, block: Block) -> None:
    if "qcow2" in block.text and shutil.which("qemu-img") is None:
        pytest.skip("not installed: qemu-img")
    done = shell.run(block.text)
    assert done.returncode == 0, done.stdout + done.stderr


# What differs from run to run; in a session it is compared as this word.
CHANGING = {
    "ID": r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "HASH": r"\b[0-9a-f]{32,64}\b",
    # Which holes are believed depends on the file system under the tests.
    "KNOWN BY": r"\ncoverage: .*",
    "TIME": r"(?<=\ntime     ).*",
    "COUNT": r"\d+(?= rules passed| rules skipped| skipped|\))",
}


def settled(text: str) -> str:
    for word, pattern in CHANGING.items():
        text = re.sub(pattern, word, text)
    return " ".join(text.split())


@pytest.mark.slow
@pytest.mark.parametrize("block", SESSIONS, ids=str)
def test_a_session_of_a_page_happens_as_it_is_shown(shell: DocumentShell, block: Block) -> None:
    for command, shown in steps(block.text):
        assert settled(shell.run_together(command)) == settled(shown), command


@pytest.mark.slow
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=str)
def test_python_of_a_page_runs(shell: DocumentShell, block: Block) -> None:
    done = shell.run(f"{shlex.quote(sys.executable)} -c {shlex.quote(block.text)}")
    assert done.returncode == 0, done.stderr


def test_the_generated_pages_are_current() -> None:
    for path, text in generate.pages().items():
        assert path.read_text().splitlines() == text.splitlines(), f"make docs ({path.name})"


# The reference repeats the help, whose examples are run by a test of their own.
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_no_command_of_a_page_escapes_the_tests(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if line.startswith("    ")]
    for block in blocks(page):
        inside = block.text.splitlines()
        if block.language in ("sh", "console"):
            lines = [line for line in lines if line not in inside]
        else:
            lines += inside
    starts = tuple(f"{name} " for name in PROGRAMS)
    assert [x for x in lines if x.strip().removeprefix("$ ").startswith(starts)] == []


def test_every_page_is_on_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]
    pages = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert {page for page in pages if f": {page}\n" not in nav} == set()


def test_the_reports_that_complain_of_waivers_are_those_of_the_page() -> None:
    run = Run_((), (), None, "1", ("this waiver expired",))
    saying = {name for name in FORMATS if "this waiver expired" in render(run, name)}
    assert saying == {"text", "json", "sarif", "github", "html"}  # docs/checks.md says so


def test_the_readme_shows_a_picture_within_two_screens_and_five_rows_of_the_benchmark() -> None:
    text = (ROOT / "README.md").read_text()
    assert text[: text.index("![")].count("\n") < 48
    measured = text.partition("<!-- generated: measured -->")[2].partition("<!-- end -->")[0]
    assert len(measured.strip().splitlines()) == 2 + 5


def test_the_picture_of_the_readme_ends_well() -> None:
    drawn = (ROOT / "docs" / "pictures" / "session.svg").read_text()
    assert "FAILED" not in drawn
    assert "warning  " not in drawn


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_rules_and_codes_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    assert set(re.findall(r"IMS\d{3}\b", text)) <= {rule.id for rule in registry.all_rules()}
    assert set(re.findall(r"IMG\.\d{4}\b", text)) <= set(error_codes.CODES)


def test_a_symptom_is_quoted_as_the_program_says_it() -> None:
    source = "".join(path.read_text() for path in (ROOT / "imsprep").rglob("*.py"))
    said = re.sub(r'"\s*\n\s*f?"', "", source)
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(quoted) >= 4
    assert [words for words in quoted if words not in said] == []


def every_command(
    command: click.Command | None = None, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that a user can call, with its words."""
    command = command or cli.cli
    if words:
        yield " ".join(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            if not inner.hidden:
                yield from every_command(inner, (*words, name))


COMMANDS = dict(every_command())


def named_commands(page: Path) -> list[str]:
    """Return the command lines that stand within the sentences of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return re.findall(r"`(imsprep(?: [^`]*)?)`", re.sub(r"\s+", " ", text))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_a_command_within_a_sentence_exists_with_its_options(page: Path) -> None:
    for line in named_commands(page):
        words = [word for word in line.split()[1:] if word not in ("…", "...")]
        if words[:1] in (["COMMAND"], ["tree1"]) or not words or words[0].startswith("-"):
            continue
        two = " ".join(words[:2])
        name = two if two in COMMANDS else words[0]
        assert name in COMMANDS, line
        command = COMMANDS[name]
        known = {o for p in command.params for o in p.opts} | {"--help", "-h"}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= known or isinstance(command, click.Group), line
        if len(words) > 1 and not line.endswith("…") and not options:
            needed = [p for p in command.params if isinstance(p, click.Argument) and p.required]
            given = words[len(name.split()) :]
            assert len(given) >= len(needed), f"{line}: it needs {[p.name for p in needed]}"


def requests(text: str) -> Iterator[tuple[set[str], str, str | None]]:
    """Yield of each example in a text that has an os_version its values, its site and region."""
    joined = re.sub(r"\\\n\s*", "", text)
    for part in re.split(
        r"\bimsprep(?= [a-z])|arguments: |\n\s*\n|```|^images:", joined, flags=re.M
    ):
        values = re.findall(r"os[-_]version\b[ =:]+\"?([A-Z][^\"\n]* \d\dbit)\b", part)
        site, region = (
            re.search(rf"\b{x}\b[ =:]+\"?([a-z][a-z0-9-]+)", part) for x in ("site", "region")
        )
        if values:
            yield set(values), site[1] if site else DEFAULT_SITE, region and region[1]


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES, ROOT / "action.yml"], ids=lambda p: p.name)
def test_an_os_version_of_an_example_is_in_the_list_of_its_site(path: Path) -> None:
    for values, site, region in requests(path.read_text()):
        meant = site_for(site, region, chosen=site != DEFAULT_SITE)
        assert values <= set(SITES[meant].listed), f"{values} at {meant}"


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        *(f"docs/{x}.md" for x in ("tutorial", "first-import", "import", "pipeline", "no-boot")),
    ],
)
def test_an_import_of_a_system_disk_looks_inside(name: str) -> None:
    joined = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
    lines = re.findall(r"^[$ ]*imsprep import .*--os-version.*$", joined, re.MULTILINE)
    assert lines
    assert [line for line in lines if "--guest" not in line] == []


def test_examples_with_an_os_version_are_found() -> None:
    of = {p.name: list(requests(p.read_text())) for p in [*PAGES, *EXAMPLES]}
    assert len([name for name, found in of.items() if found]) >= 12


def test_a_pipeline_installs_imsprep_and_not_the_project_that_it_belongs_to() -> None:
    text = [p.read_text() for p in (ROOT / "docs" / "pipeline.md", *EXAMPLES)]
    lines = [
        line for line in "\n".join(text).splitlines() if re.search(r"^[^`]*\bpip install", line)
    ]
    assert len(lines) >= 5
    assert [line for line in lines if "@ git+$IMSPREP_REPOSITORY" not in line] == []


def examples(command: click.Command) -> list[str]:
    """The examples that end a command's help, one string each."""
    _, mark, text = (command.epilog or "").partition("Example")
    lines = text.lstrip("s:").replace("\\\n", " ")
    return re.findall(r"^\s*(imsprep .+)$", lines, re.MULTILINE) if mark else []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_ends_with_examples(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    found = examples(command)
    assert found, f"imsprep {name} --help ends without an example"
    assert all(example.startswith(f"imsprep {name}") for example in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_run(shell: DocumentShell, name: str) -> None:
    if name == "verify":
        shell.run("imsprep bitmap disk.raw")
    if name == "bitmap learn":
        shell.run("imsprep bitmap probe probe.raw; imsprep bitmap probe.raw")
    for example in examples(COMMANDS[name]):
        done = shell.run(example)
        assert done.returncode == 0, example + done.stdout + done.stderr


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_stands_in_the_readme(name: str) -> None:
    assert f"imsprep {name}" in (ROOT / "README.md").read_text()


def pipeline(path: Path) -> tuple[list[str], list[str]]:
    """Return what the steps of a pipeline run, in order, and the files that it publishes."""
    parsed = yaml.safe_load(path.read_text())
    if "github" not in path.stem:
        job = parsed["check-image"]
        return job["script"], [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    steps = parsed["jobs"]["check"]["steps"]
    given = [step.get("with", {}) for step in steps]
    published = [words[key] for words in given for key in ("sarif_file", "path") if key in words]
    runs = [step["run"] for step in steps if "run" in step]
    # Packages of the distribution are what the other page's `before_script` installs.
    return [line for line in runs if "apt-get" not in line], published


@pytest.mark.slow
@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("path", PIPELINES, ids=lambda p: p.stem)
def test_the_steps_of_a_pipeline_run_and_write_what_it_publishes(
    shell: DocumentShell, path: Path, good: bool
) -> None:
    disk, script = shell.folder / "build" / "disk.raw", shell.folder / "build-image.sh"
    if not good:
        subprocess.run(["truncate", "-s", "-1000", shell.folder / "disk.raw"], check=True)
    script.write_text('#!/bin/sh\nmkdir -p "$(dirname "$1")"\ncp disk.raw "$1"\n')
    script.chmod(0o755)
    lines, published = pipeline(path)
    assert any(line.startswith("pip install") for line in lines)
    assert len(published) == 2
    disk.unlink()
    if "github" not in path.stem:  # there the disk comes from a job before
        shutil.copy(shell.folder / "disk.raw", disk)
    codes = []
    for line in lines:
        done = shell.run(line)
        codes.append(done.returncode)
        if done.returncode:
            break
    assert codes[:-1] == [0] * (len(lines) - 1), done.stdout + done.stderr
    assert codes[-1] == (0 if good else 1), done.stdout + done.stderr
    assert all((shell.folder / name).stat().st_size for name in published)


def test_the_picture_of_a_terminal_says_what_its_session_says() -> None:
    session = f"$ imsprep check a&b.raw\n  <found>\n\n{'word ' * 40}\n"
    drawn = ElementTree.fromstring(picture(session, "a title"))
    rows = [
        "".join(element.itertext()) for element in drawn.iter("{http://www.w3.org/2000/svg}text")
    ]
    assert rows[:2] == ["$ imsprep check a&b.raw", "  <found>"]
    assert " ".join(rows[2:]).split() == ["word"] * 40
    assert max(map(len, rows)) <= COLUMNS


def test_a_telephone_shows_the_session_in_letters_that_can_be_read() -> None:
    drawn = ElementTree.parse(ROOT / "docs" / "pictures" / "session.svg").getroot()
    (group,) = drawn.iter("{http://www.w3.org/2000/svg}g")
    shown = min(1, 358 / float(drawn.attrib["width"]))  # 390 pixels, less the margins of a page
    assert float(group.attrib["font-size"]) * shown > 9


def test_the_picture_of_a_terminal_wraps_the_paragraphs_of_a_report_anew() -> None:
    words = " ".join(f"word{number}" for number in range(60))
    wrapped = textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ")
    session = "\n".join([f"$ {'x' * (WIDTH - 2)}", "y", *wrapped, "    passed", "z" * 200, "end"])
    drawn = ElementTree.fromstring(picture(session, "a title"))
    rows = [
        "".join(element.itertext()) for element in drawn.iter("{http://www.w3.org/2000/svg}text")
    ]
    start = rows.index("y") + 1
    end = start + len(textwrap.wrap(words, COLUMNS, initial_indent="  ", subsequent_indent="    "))
    assert " ".join(rows[start:end]).split() == words.split()
    assert {len(row) - len(row.lstrip()) for row in rows[start + 1 : end]} == {4}
    assert rows[end] == "    passed"
    assert rows[-1] == "end"


def test_the_settings_of_the_pages_are_valid(tmp_path: Path) -> None:
    for name in ("checks.md", "configuration.md"):
        page = ROOT / "docs" / name
        (block,) = [block for block in blocks(page) if block.language == "toml"]
        tomllib.loads(block.text)
        (tmp_path / "imsprep.toml").write_text(block.text)
        assert load({}, tmp_path)["site"].value == "otc"
        for command in ("import", "upload", "batch"):
            written = options({}, tmp_path, command)
            known = {o.removeprefix("--") for p in COMMANDS[command].params for o in p.opts}
            assert set(written) <= known


@pytest.mark.slow
def test_the_hook_checks_what_it_says(shell: DocumentShell) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split()[:2] == ["imsprep", "check"]
    for name in ("build/vm.qcow2", "vm.qcow2.xz", "disk.raw.gz", "vm.ova"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "source.tar.xz")
    names = ["disk.raw", "disk.raw.txt", "images/one.raw"]
    fitting = [name for name in names if re.search(hook["files"], name)]
    assert fitting == ["disk.raw", "images/one.raw"]
    line = shlex.join([*shlex.split(hook["entry"]), *hook.get("args", []), *fitting])
    done = shell.run(line)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["truncate", "-s", "-1000", shell.folder / "disk.raw"], check=True)
    assert shell.run(line).returncode == 1


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: p.name)
def test_the_modules_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:imsprep/)?[a-z_0-9]+/[a-z_0-9/]+\.py)`", page.read_text())
    roots = (ROOT, ROOT / "imsprep")
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []
