"""`imsprep doctor`: what this machine has and lacks for imsprep's work."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from imsprep.cli import screen
from imsprep.cli.options.common import PATH, ca_bundle_option, output_options, print_result
from imsprep.cli.settings.configured import profile_option, region_option, site_option
from imsprep.options import ServiceOptions

_COLOURS = {"ok": "passed", "missing": "unsure", "failed": "FAILED"}

EPILOG = """\
\b
Examples:
  imsprep doctor
  imsprep doctor --online --site otc --region eu-de
"""


@click.command(epilog=EPILOG)
@click.option("--dir", "folder", type=PATH, default=".", metavar="DIR",
              help="Folder of the images (default: the current folder).")  # fmt: skip
@click.option("--online", is_flag=True, help="Connect to the services of the region too.")
@site_option("Site of the services.")
@region_option("Region of the services, as eu-de.")
@ca_bundle_option
@profile_option
@output_options
def command(folder: Path, online: bool, as_json: bool, quiet: bool, **where: Any) -> int:
    """Check this machine: extras, programs, file system, space, clock, credentials, endpoints.

    What is `missing` is needed for some things only, and its line says for which. The exit code is
    0 if nothing failed, else 3.
    """
    from imsprep import api

    def log(text: str) -> None:
        if not quiet:
            screen.say(text)

    found = api.look_at_machine(folder, ServiceOptions(**where) if online else None, log)
    widest = max(len(item.name) for item in found)
    lines = [f"{item.state:8} {item.name:{widest}} {item.words}" for item in found]
    counts = {state: sum(item.state == state for item in found) for state in _COLOURS}
    verdict = "FAILED" if counts["failed"] else "passed"
    tally = ", ".join(f"{number} {state}" for state, number in counts.items())
    lines.append(f"{verdict}   {tally}")
    value = {"schema": "imsprep.doctor/1", "items": [item.as_dict() for item in found]}
    print_result(as_json, value, "\n".join(lines), hang=widest + 10, paint=_painted)
    return 3 if counts["failed"] else 0


def _painted(text: str) -> str:
    """Colour the word with which a line begins; lines that go on begin with blanks."""
    style = screen.style_for(sys.stdout)
    kinds = {**_COLOURS, "FAILED": "FAILED", "passed": "passed"}
    return re.sub(r"^\w+", lambda word: style.painted(word[0], kinds[word[0]]), text, flags=re.M)
