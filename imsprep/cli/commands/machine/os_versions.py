"""`imsprep os-versions`: which values of os_version are known for a site, and since when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import output_options, print_result
from imsprep.cli.options.service import service_options

if TYPE_CHECKING:
    from imsprep.cloud.sites import OsVersions


@click.command(epilog="Example: imsprep os-versions debian --site otc")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--online", is_flag=True, help="Ask the region for its own list.")
@service_options
@output_options
def command(words: tuple[str, ...], online: bool, as_json: bool, quiet: bool, **where: Any) -> None:
    """List the os_version values that are published for a site, or only those with the WORDs.

    The published lists are dated and differ by region; with --online the region's own is shown. A
    system that is not listed is registered as Other.
    """
    from imsprep import api

    site = where.pop("site")
    lists = api.os_versions(site, online=online, **where)
    print_result(as_json, _as_dict(site, lists, words), _text(lists, words))


def _chosen(values: tuple[str, ...], words: tuple[str, ...]) -> list[str]:
    return [value for value in values if all(_has(value, word) for word in words)]


def _has(value: str, word: str) -> bool:
    """Return whether a value has a word; a number is the beginning of a version or of a part."""
    if not word[:1].isdigit():
        return word.lower() in value.lower()
    return re.search(rf"(?<![\d.]){re.escape(word.lower())}(?!\d)", value.lower()) is not None


def _natural(value: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts numbers in a text by what they are worth."""
    parts = re.split(r"(\d+)", value.lower())
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _as_dict(site: str, lists: list[OsVersions], words: tuple[str, ...]) -> dict[str, object]:
    return {
        "site": site,
        "lists": [
            {
                "source": one.source,
                "date": one.date or None,
                "note": one.note,
                "os_versions": _chosen(one.all, words),
                "bare": one.bare,
            }
            for one in lists
        ],
    }


def _text(lists: list[OsVersions], words: tuple[str, ...]) -> str:
    """Write each value once, below the first list that has it."""
    lines, shown = list[str](), set[str]()
    for one in lists:
        found = _chosen(one.all, words)
        fresh = sorted({value for value in found if value not in shown}, key=_natural)
        shown.update(fresh)
        dated = f", {one.date}" if one.date else ""
        again = len(set(found)) - len(fresh)
        above = f", {again} of them above" if again else ""
        lines += [f"{one.source}{dated}: {len(found)} of {len(one.all)} values{above}", *fresh]
        bare = {
            system: versions
            for system, versions in one.bare.items()
            if not words or any(word.lower() in system.lower() for word in words)
        }
        for system, versions in bare.items():
            lines.append(f"{system}, whose spelling is not documented: {', '.join(versions)}")
        lines += _note(one, whole=bool(bare)) if found or bare else []
        lines.append("")
    return "\n".join(lines).rstrip()


def _note(one: OsVersions, *, whole: bool) -> list[str]:
    """Return the note of a list; what it says of bare versions only with those (`whole`)."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", one.note or "")
    kept = [s for s in sentences if whole or not any(system in s for system in one.bare)]
    return [" ".join(kept)] if one.note and kept else []
