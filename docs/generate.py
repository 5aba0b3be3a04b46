"""Write what the documentation repeats from the program: run by `make docs`, tested to be current.

    python -m docs.generate [--sessions]

docs/reference/ and the pictures (a session, the way of an image) are written whole; in README.md
only what stands between the marks is replaced:

    <!-- generated: NAME -->
    <!-- end -->

With --sessions the commands of every ```console block are run too, and what they print is written
below them.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from benchmarks.harness import LIMIT, judged
from docs import flow, man
from docs.terminal import picture
from imsprep import __version__, cli
from imsprep.checks import registry
from imsprep.checks.rule import SUBJECTS
from imsprep.ims import error_codes

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"  # of `make bench`
# Of the benchmark: reading zeros, reading a disk, packing it, sending it, sending it over a line.
DECIDING = {
    ("8 GiB of written zeros, cached since read", "qemu-img convert into a sparse file"),
    ("8 GiB of an ext4 file system, cold", "cat"),
    ("8 GiB ext4, 650 MiB of files", "qemu-img convert -c, zstd"),
    ("8 GiB ext4, packed as ZVHD2 and sent", "aws s3 cp of the RAW file"),
    ("8 GiB ext4 over 1 Gbit/s", "aws s3 cp"),
}
NOTE = "<!-- Written by docs/generate.py; `make docs` updates it. -->\n"


def pages() -> dict[Path, str]:
    """Return every generated page with the text that it should have."""
    reference = ROOT / "docs" / "reference"
    readme = ROOT / "README.md"
    return {
        **man_pages(),
        reference / "commands.md": commands_page(),
        reference / "rules.md": rules_page(),
        reference / "service-codes.md": codes_page(),
        reference / "modules.md": modules_page(),
        readme: filled(readme.read_text()),
        ROOT / "docs" / "pictures" / "session.svg": session_picture(readme.read_text()),
        ROOT / "docs" / "pictures" / "way.svg": flow.picture(),
    }


def session_picture(readme: str) -> str:
    """Return the session of README.md, its first command aside, as a picture of a terminal."""
    (session,) = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    rest = re.split(r"^(?=\$ )", session, flags=re.MULTILINE)[2:]
    return picture("".join(rest), "imsprep converts, checks and imports a disk image")


def filled(text: str) -> str:
    """Return a page with the text between its marks written again."""
    parts = {"commands": commands_table(), "exit codes": exit_codes_table()}
    if RESULTS.exists():
        parts["measured"] = measured_table(json.loads(RESULTS.read_text())["results"])
    for name, part in parts.items():
        mark = f"<!-- generated: {name} -->\n"
        text = re.sub(f"{mark}.*?<!-- end -->", lambda _, new=mark + part: f"{new}<!-- end -->",
                      text, flags=re.DOTALL)  # fmt: skip
    return text


def commands_table() -> str:
    """Return the commands as a table, in the order in which a user meets them."""
    rows = [f"| `imsprep {name}` | {line} |" for name, line in cli.COMMANDS.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"


def exit_codes_table() -> str:
    """Return the exit codes as a table."""
    lines = re.findall(r"^ {2}(\d+) +(.+)$", cli.EXIT_CODES, re.MULTILINE)
    return "| code | meaning |\n|---|---|\n" + "".join(f"| {c} | {text} |\n" for c, text in lines)


def measured_table(results: list[dict[str, Any]]) -> str:
    """Return the rows that a user decides by, with the targets; docs/benchmarks.md has the rest."""
    lines = [
        "| what | compared with | times as fast (min to max) | target | |",
        "|---|---|---|---|---|",
    ]
    for result in results:
        if result["case"].startswith(LIMIT):
            continue
        for figure, target, verdict in judged(result):
            if figure == "ratio" and (result["case"], result["peer"]) in DECIDING:
                spread = result["figures"]["ratio"]
                shown = f"{spread['median']:.2g} ({spread['min']:.2g} to {spread['max']:.2g})"
                words = f"{result['case']} | {result['peer']}"
                lines.append(f"| {words} | {shown} | {target} | {verdict} |")
    return "\n".join(lines) + "\n"


def every_command(
    command: click.Command, words: tuple[str, ...], parent: click.Context | None = None
) -> Iterator[tuple[click.Context, click.Command]]:
    """Yield every command that a user can call, with the context that its help is written in."""
    settings = {**command.context_settings, "terminal_width": 96, "max_content_width": 96}
    context = click.Context(command, info_name=words[-1], parent=parent, **settings)
    yield context, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from every_command(inner, (*words, name), context)


def man_pages() -> dict[Path, str]:
    """Return the manual page of every command, which the package carries."""
    folder = ROOT / "imsprep" / "data" / "man"
    return {
        folder / f"{context.command_path.replace(' ', '-')}.1": man.page(
            context, command, __version__
        )
        for context, command in every_command(cli.cli, ("imsprep",))
    }


def commands_page() -> str:
    """Return the help of every command as one page."""
    text = [NOTE, "# Commands\n", "What `imsprep COMMAND --help` says.\n"]
    for context, command in every_command(cli.cli, ("imsprep",)):
        text.append(f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(text)


def rules_page() -> str:
    """Return all rules: a table to look through, then all that is known of each."""
    rules = registry.all_rules()
    text = [NOTE, "# Rules\n", "What `imsprep check --explain ID` says of each.\n"]
    text += ["| id | severity | the fault |", "|---|---|---|"]
    for rule in rules:
        text.append(f"| [{rule.id}](#{rule.id.lower()}) | {rule.severity.word} | {rule.title} |")
    subject = ""
    for rule in rules:
        if rule.subject != subject:
            subject = rule.subject
            ids = ", ".join(f"IMS{n}xx" for n, name in SUBJECTS.items() if name == subject)
            text.append(f"\n## {subject.capitalize()} ({ids})")
        text.append(f"\n### {rule.id}\n\n*{rule.severity.word}*: {rule.title}\n")
        fix = f"- Fix: {rule.fix}\n" if rule.fix else ""
        text.append(f"- Why: {rule.why}\n{fix}- Source: {rule.source}")
    return "\n".join(text) + "\n"


def codes_page() -> str:
    """Return the statuses and error codes of the import service."""
    text = [
        NOTE,
        "# Error codes of the import service\n",
        "The service's own words, from its documents, and our advice; the editions do not agree on"
        " all\ncodes. imsprep shows a code that is not here as the service wrote it.\n",
        "| code | meaning | what helps |",
        "|---|---|---|",
    ]
    known = {**{str(k): v for k, v in error_codes.STATUSES.items()}, **error_codes.CODES}
    for code, refusal in known.items():
        again = " It is asked again by itself." if code in error_codes.PASSING else ""
        text.append(f"| {code} | {refusal.meaning} | {refusal.advice}{again} |".replace("  ", " "))
    return "\n".join(text) + "\n"


def modules_page() -> str:
    """Return the first sentence of every module's docstring."""
    text = [NOTE, "# Modules\n", "What each file of `imsprep/` owns, in its own words.\n"]
    package = ROOT / "imsprep"
    folders = [package, *sorted(p.parent for p in package.glob("*/**/__init__.py"))]
    for folder in folders:
        text += [f"## {folder.relative_to(ROOT)}/\n", "| file | what it owns |", "|---|---|"]
        for path in sorted(folder.glob("*.py")):
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            first = " ".join(said.split("\n\n")[0].split()).replace("|", "\\|")
            text.append(f"| `{path.name}` | {first} |")
        text.append("")
    return "\n".join(text)


def with_sessions(page: Path) -> str:
    """Return a page with its sessions run again."""
    sys.path.insert(0, str(ROOT))
    from tests.support.document_shell import DocumentShell, blocks, steps

    text = page.read_text()
    for block in blocks(page):
        if block.language == "console":
            with tempfile.TemporaryDirectory() as folder:
                shell = DocumentShell(Path(folder))
                ran = [(words, shell.run_together(words)) for words, _ in steps(block.text)]
            new = "\n".join(f"$ {words}{said}" for words, said in ran)
            text = text.replace(block.text, new)
    return text


def main() -> None:
    """Write every page that is not as it should be."""
    wanted = pages()
    if "--sessions" in sys.argv[1:]:
        write({page: with_sessions(page) for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"))})
        wanted = pages()
    write(wanted)


def write(texts: dict[Path, str]) -> None:
    """Write the files that differ and name them."""
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
