"""JSON Schemas of what commands print with --json, made of what they print.

    python -m docs.schemas

Each command runs in the folder of the documentation's examples, and its schema says the type of
every key that was seen; a key at the top that was in each of a command's results is required. A
test runs the commands again and holds what they print against the schemas that the package carries.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "imsprep" / "data" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
REQUEST = "--name web01 --type DataImage --min-disk 40"
# By command: lines of shell; the last command of each prints JSON.
COMMANDS = {
    "bitmap": ["imsprep bitmap disk.raw --json"],
    "verify": ["imsprep bitmap disk.raw -q >/dev/null; imsprep verify disk.raw --json"],
    "info": ["imsprep info disk.raw --json", "imsprep info disk.zvhd2 --json"],
    "convert": [
        "imsprep convert disk.raw disk.zvhd2 --json",
        "imsprep convert disk.raw local:./cloud --json",
    ],
    "upload": [
        "imsprep upload disk.raw --to local:./cloud --json",
        "imsprep upload disk.raw --to local:./cloud >/dev/null;"
        " imsprep upload disk.raw --to local:./cloud --json",
    ],
    "uploads-list": ["imsprep uploads list --to local:./cloud --json"],
    "uploads-abort": ["imsprep uploads abort --to local:./cloud --all --json"],
    "config-show": ["imsprep config show --json"],
    "import": [
        f"imsprep import disk.raw {REQUEST} --to local:./cloud --json",
        f"rm disk.zvhd2; imsprep import disk.raw {REQUEST} --to local:./cloud --via zvhd2 --json",
    ],
    "import-plan": [
        f"imsprep import disk.raw {REQUEST} --to local:./cloud --dry-run --json",
        f"rm disk.zvhd2; imsprep import disk.raw {REQUEST} --to local:./cloud --via auto"
        " --dry-run --json",
    ],
    "upload-plan": ["imsprep upload disk.raw --to local:./cloud --dry-run --json"],
    "wait": ["imsprep wait 8a12fc664fb4daa3014fb4e581380005 --json"],
    "doctor": ["imsprep doctor --json || :"],
    "digest": [
        "imsprep digest disk.raw --json",
        "imsprep digest disk.raw images/one.raw --json || :",
    ],
    "bench": [
        "imsprep bench disk.raw --runs 1 --json",
        "imsprep bench disk.raw --runs 1 --bandwidth 10m --json",
    ],
    "bench-synthetic": ["imsprep bench --synthetic --size 4m --runs 1 --json"],
    # The folder's `imsprep boot` shows its help, as a boot takes long; this one takes seconds.
    "boot": [
        "truncate -s 1m empty.raw;"
        f" {shlex.quote(sys.executable)} -m imsprep boot empty.raw --time-limit 60 --json || :"
    ],
    "os-versions": ["imsprep os-versions --json", "imsprep os-versions debian --site otc --json"],
    "check-rules": ["imsprep check --list-rules --json", "imsprep check --explain IMS101 --json"],
    "emulator": ["imsprep emulator --data cloud --json"],
    "demo": ["imsprep demo --json"],
    "bitmap-probe": ["imsprep bitmap probe probe.raw --json"],
    "bitmap-learn": [
        "imsprep bitmap probe probe.raw -q >/dev/null; imsprep bitmap probe.raw -q >/dev/null;"
        " imsprep bitmap learn probe.raw probe.mf --json || :"
    ],
}
# By command: keys that may also be of a type that none of these results has, as another disk's boot
# or a lost answer gives.
MAY_BE = {
    "boot": {
        "accelerator": "null", "cloud_init_source": "string", "hint": "string", "line": "null",
        "log": "null",
        "picture": "null", "screenshot": "null", "why_slow": "string",
    },
    "import": {"job_id": "null", "boot_mode": "object"},
    "import-plan": {"boot_mode": "object", "imported": "string"},
}  # fmt: skip
# What the service need not say, and what depends on the image in more ways than a sample shows.
LEFT_OUT = {"wait": {"image_name", "job_type", "progress", "task"}}
OPEN = ("facts", "report")  # objects as check's
# By command: the schema that is written by hand, with what each key means, and what must obey it.
WRITTEN = {
    "check": (
        "check.schema.json",
        ["imsprep check disk.raw images --json", "imsprep check disk.raw --guest --scan --json",
         "imsprep check missing.raw --json || :"],
    ),
    "batch": (
        "batch.schema.json",
        ["imsprep batch plan.yaml --dry-run --json", "imsprep batch plan.yaml --json"],
    ),
}  # fmt: skip


def printed(command: str, line: str) -> Any:
    """Run a line in a fresh folder of examples and return the JSON that it printed."""
    sys.path.insert(0, str(ROOT))
    from tests.support.document_shell import DocumentShell

    with tempfile.TemporaryDirectory() as folder:
        done = DocumentShell(Path(folder)).run(line)
    if done.returncode:
        raise RuntimeError(f"{command}: {line}: {done.stderr}")
    return json.loads(done.stdout)


def schema_of(values: list[Any]) -> dict[str, Any]:
    """Return the schema that all of the values obey."""
    kinds = sorted({_kind(value) for value in values})
    found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    tables = [value for value in values if isinstance(value, dict)]
    if tables:
        keys = sorted({key for table in tables for key in table})
        found["properties"] = {
            key: {"type": "object"}
            if key in OPEN
            else schema_of([table[key] for table in tables if key in table])
            for key in keys
        }
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        found["items"] = schema_of(items)
    return found


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def document(command: str, values: list[Any]) -> dict[str, Any]:
    """Return a command's schema as the package carries it."""
    body = schema_of(values)
    always = set.intersection(*map(set, values)) - LEFT_OUT.get(command, set())
    body["required"] = sorted(always)
    for key, kind in MAY_BE.get(command, {}).items():
        known = body["properties"][key]["type"]
        kinds = {kind, *(known if isinstance(known, list) else [known])}
        body["properties"][key]["type"] = sorted(kinds) if len(kinds) > 1 else kind
    body["properties"]["schema"] = {"const": values[0]["schema"]}
    return {"$schema": DRAFT, "title": f"imsprep {command.replace('-', ' ')} --json", **body}


def main() -> None:
    """Write every schema."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for command, lines in COMMANDS.items():
        value = document(command, [printed(command, line) for line in lines])
        path = FOLDER / f"{command}.schema.json"
        path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
