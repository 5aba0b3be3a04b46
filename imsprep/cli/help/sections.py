"""The options of a long help text in sections: what nearly every call needs first, then by subject.

Which section an option belongs to stands here once, by the parameter's name, so that a subject has
the same title and the same place in every command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

_SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("The image's request", (
        "name", "min_disk", "os_version", "os_type", "type_", "architecture", "hw_firmware_type",
        "description", "tags", "image_tags", "license_type", "enterprise_project_id", "image_url",
    )),
    ("What is checked", (
        "guest", "boot", "scan", "deep", "online", "select", "ignore", "severity", "fail_on",
        "strict", "skip_failing", "verify",
    )),
    ("What is made and sent", (
        "via", "to_format", "from_format", "compression", "level", "block_size", "bitmap", "layout",
        "keep_container", "work_dir", "disk", "all_disks", "id_", "timestamp", "sha256",
        "bandwidth",
    )),
    ("How the image is read", ("holes", "force_share", "keep_cache")),
    ("Speed and transfer", (
        "to", "key", "replace", "force", "cleanup", "jobs", "part_size", "limit_rate", "no_copy",
        "retry_for", "kms_key", "storage_class", "scheduler",
    )),
    ("Cloud", (
        "site", "region", "endpoint", "obs_endpoint", "api", "ca_bundle", "timeout", "poll",
    )),
    ("Output", (
        "formats", "as_json", "outputs", "reproducible", "show_skipped", "list_rules", "explain",
        "dry_run", "quiet", "progress", "color", "verbose", "log_file",
    )),
)  # fmt: skip
OFTEN, OTHER = "Needed most", "Other options"
_COLUMN = 26  # of an option's name and metavar; a longer one has a line of its own


class SectionedCommand(click.Command):
    """A command whose help groups its options; `first` names the parameters that come before all.

    Without `first` the help is click's own, which suits a command with a screen of options.
    `needed` says, by the parameter's name, when one is required that click does not know as such.
    """

    def __init__(
        self, *args: Any, first: Sequence[str] = (), needed: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, **more)
        self.first, self.needed = tuple(first), needed or {}

    def sections(self, ctx: click.Context) -> list[tuple[str, list[click.Parameter]]]:
        """Return the titles of the help with the options below each, none of them empty."""
        params: dict[str, click.Parameter] = {
            str(p.name): p for p in self.get_params(ctx) if isinstance(p, click.Option)
        }
        if not self.first:
            return [("Options", list(params.values()))]
        table = [(OFTEN, self.first), *_SECTIONS]
        found = [(title, [params.pop(n) for n in names if n in params]) for title, names in table]
        return [(title, some) for title, some in (*found, (OTHER, [*params.values()])) if some]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; the second column stands at the same place in all of them."""
        sections = [
            (title, [r for p in params if (r := self.record(p, ctx)) is not None])
            for title, params in self.sections(ctx)
        ]
        widest = min(_COLUMN, max(len(name) for _, records in sections for name, _ in records))
        for title, records in sections:
            with formatter.section(title):
                rows = [(name.ljust(widest), words) for name, words in records]
                formatter.write_dl(rows, col_max=_COLUMN)

    def record(self, param: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
        """Return an option and its words, with when it is required; None for a hidden one."""
        record = param.get_help_record(ctx)
        if record is None or param.name not in self.needed:
            return record
        return record[0], f"{record[1]}  [{self.needed[param.name]}]"
