"""Container, action and examples for other tools: linted, and their steps run as far as tools are here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from docs import generate, schemas
from imsprep import cli
from tests.support.document_shell import DocumentShell
from tests.support.paths import ROOT

EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def shell(tmp_path: Path) -> DocumentShell:
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("not installed: mkfs.ext4")
    return DocumentShell(tmp_path)


def here(program: str) -> pytest.MarkDecorator:
    """Skip a test of another tool's where that tool is not: Debian does not have all of them."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"there is no {program} here")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a container file."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        yield word, " ".join(rest.split())


def test_the_container_file_says_only_what_a_builder_knows() -> None:
    steps = list(instructions((ROOT / "Containerfile").read_text()))
    assert steps[0][0] == "FROM"
    assert {word for word, _ in steps} <= {
        "FROM",
        "RUN",
        "COPY",
        "WORKDIR",
        "ENTRYPOINT",
        "CMD",
        "ENV",
    }
    for word, rest in steps:
        if word == "RUN":
            subprocess.run(["bash", "-n", "-c", rest], check=True)
        if word in ("ENTRYPOINT", "CMD"):
            assert json.loads(rest)
    (install,) = re.findall(r"apt-get install .*?recommends ([a-z0-9 -]+)", steps[1][1])
    assert "qemu-utils" in install.split()


@pytest.mark.slow
@here("podman")
def test_the_container_is_built_and_runs() -> None:
    subprocess.run(["podman", "build", "-q", "-t", "imsprep-test", ROOT], check=True)
    done = subprocess.run(
        ["podman", "run", "--rm", "imsprep-test", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("imsprep ")


@pytest.mark.slow
def test_the_steps_of_the_action_run(shell: DocumentShell) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    inputs = action["inputs"]
    (check,) = (s for s in action["runs"]["steps"] if s.get("name") == "Check")
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(inputs)
    given = {
        "images": "build/disk.raw",
        "arguments": '--site otc --min-disk 40 --os-version "Debian GNU/Linux 12.0.0 64bit"',
        "sarif": "imsprep.sarif",
    }
    exports = "".join(
        f"export {name}={shlex.quote(given[value.split('.')[1].strip(' }')])}\n"
        for name, value in check["env"].items()
    )
    done = shell.run(exports + check["run"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (shell.folder / "imsprep.sarif").stat().st_size


def checked_with(
    arguments: str, folder: Path, images: str = "a.raw"
) -> subprocess.CompletedProcess[str]:
    """Run the action's check with a program in place of imsprep that prints what it is given."""
    (check,) = (
        step
        for step in yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
        if step.get("name") == "Check"
    )
    script = "imsprep() { printf '%s\\n' \"$@\"; }\n" + check["run"]
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=folder,
        env={"PATH": os.environ["PATH"], "IMAGES": images, "SARIF": "r.sarif",
             "ARGUMENTS": arguments}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", []),
        ("--guest  --min-disk 40\n", ["--guest", "--min-disk", "40"]),
        ("--guest\n--os-version 'Debian GNU/Linux 12.0.0 64bit'\n--site=otc",
         ["--guest", "--os-version", "Debian GNU/Linux 12.0.0 64bit", "--site=otc"]),
        ('--os-version "Debian GNU/Linux 12.0.0 64bit"',
         ["--os-version", "Debian GNU/Linux 12.0.0 64bit"]),
        ("--name $(touch made) `touch made` ; *",
         ["--name", "$(touch", "made)", "`touch", "made`", ";", "*"]),
    ],
)  # fmt: skip
def test_the_arguments_of_the_action_are_quoted_as_in_a_shell(
    arguments: str, words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "there").touch()
    done = checked_with(arguments, tmp_path)
    first = ["check", "--format", "github", "--output", "sarif:r.sarif"]
    expected = [*first, *words, "--", "a.raw"]
    assert (done.returncode, done.stdout.splitlines()) == (0, expected), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ("build/*.raw", ["build/*.raw"]),
        ("  my disk.raw \n\nit's $(touch made).raw\n-x.raw\n",
         ["my disk.raw", "it's $(touch made).raw", "-x.raw"]),
    ],
)  # fmt: skip
def test_the_images_of_the_action_stand_one_a_line(
    images: str, words: list[str], tmp_path: Path
) -> None:
    done = checked_with("", tmp_path, images)
    lines = done.stdout.splitlines()
    assert (done.returncode, lines[lines.index("--") + 1 :]) == (0, words), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_quote_without_its_end_in_the_arguments_of_the_action_is_wrong_usage(
    tmp_path: Path,
) -> None:
    done = checked_with('--os-version "Debian', tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "quote" in done.stderr


def commands_of(name: str) -> list[str]:
    """Return the imsprep commands of an example."""
    text = (EXAMPLES / name).read_text()
    if name.endswith(".yml"):
        (play,) = yaml.safe_load(text)
        lines = [task.get("ansible.builtin.command") for task in play["tasks"]]
        return [line.replace("{{ image }}", play["vars"]["image"]) for line in lines if line]
    found = re.findall(r'"(imsprep [^"]*)"', text)
    return [line.replace("${var.image}", "build/disk.raw") for line in found]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["packer.pkr.hcl", "terraform.tf", "ansible.yml"])
def test_the_commands_of_an_example_run(shell: DocumentShell, name: str) -> None:
    lines = commands_of(name)
    assert any(line.startswith("imsprep import") for line in lines)
    done = shell.run("\n".join(lines))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool",
    [
        pytest.param("packer build packer.pkr.hcl", marks=here("packer")),
        pytest.param("terraform init && terraform apply -auto-approve", marks=here("terraform")),
        pytest.param("ansible-playbook ansible.yml", marks=here("ansible-playbook")),
    ],
    ids=lambda command: command.split()[0],
)
def test_the_tool_itself_runs_its_example_and_the_image_is_there(
    shell: DocumentShell, tool: str
) -> None:
    for name in ("packer.pkr.hcl", "terraform.tf", "ansible.yml"):
        shutil.copy(EXAMPLES / name, shell.folder)
    done = shell.run(tool)
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = shell.folder.glob("cloud/.emulator/images/*.json")
    made = json.loads(image.read_text())
    assert (made["status"], made["body"]["name"]) == ("active", "web01")
    kept = shell.folder / "image.json"
    if tool.startswith(("terraform", "ansible")):
        assert json.loads(kept.read_text())["image_id"] == image.stem


@pytest.mark.slow
@pytest.mark.parametrize("command", schemas.COMMANDS)
def test_the_json_of_a_command_obeys_the_schema_that_the_package_carries(command: str) -> None:
    schema = json.loads((schemas.FOLDER / f"{command}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    value = schemas.printed(command, schemas.COMMANDS[command][-1])
    jsonschema.validate(value, schema)
    assert re.fullmatch(r"imsprep\.[a-z-]+/\d+", value["schema"])
    value.pop("schema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)


@pytest.mark.slow
@pytest.mark.parametrize("command", schemas.WRITTEN)
def test_the_json_of_a_command_obeys_the_schema_that_was_written_for_it(command: str) -> None:
    name, lines = schemas.WRITTEN[command]
    schema = json.loads((schemas.FOLDER.parent / name).read_text())
    for line in lines:
        value = schemas.printed(command, line)
        jsonschema.validate(value, schema)
        assert schema["properties"]["schema"]["const"] == value["schema"]


def test_every_command_with_json_has_a_schema() -> None:
    known = {*schemas.COMMANDS, *schemas.WRITTEN}
    for context, command in generate.every_command(cli.cli, ("imsprep",)):
        if any(param.name == "as_json" for param in command.params):
            name = "-".join(context.command_path.split()[1:]).replace("bitmap-make", "bitmap")
            assert name in known, name


def test_the_classifiers_claim_what_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    systems = [c for c in project["classifiers"] if c.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]
