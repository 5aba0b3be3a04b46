"""`imsprep check`: everything that can be known about an image before a byte is uploaded."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imsprep.checks.reporters import FORMATS
from imsprep.cli.help.completion import images, regions, rules, severities, sites, words
from imsprep.cli.help.sections import SectionedCommand
from imsprep.cli.options.common import PATH, CountType, ca_bundle_option
from imsprep.cli.options.importing import check_options
from imsprep.cli.options.output import output_targets, write_output
from imsprep.cli.options.request import request_options
from imsprep.cli.options.scan import hole_options
from imsprep.cli.screen import is_one_place, say, screen_options, style_for, verbosity, wrapped
from imsprep.cli.settings.configured import (
    profile_option,
    settings_here,
    site_of_region,
    split_commas,
)
from imsprep.errors import UsageError

if TYPE_CHECKING:
    from imsprep.checks.reporters import Run
    from imsprep.checks.reporters.text import Style

WHY_SKIPPED = "--show-skipped: why rules were skipped"

EPILOG = """\
\b
Examples:
  imsprep check disk.raw
  imsprep check disk.raw --name web01 --min-disk 40 \\
    --os-version "Debian GNU/Linux 12.0.0 64bit" --site otc
  imsprep check images/ --output sarif:out.sarif --output html:report.html
"""


@click.command(
    cls=SectionedCommand,
    epilog=EPILOG,
    first=("guest", "name", "os_version", "min_disk", "site", "fail_on", "outputs", "show_skipped"),
)
@click.argument("images", nargs=-1, type=PATH, metavar="IMAGE...", shell_complete=images)
@click.option(
    "--site",
    shell_complete=sites,
    help="Site whose limits apply: huawei, huawei-intl (default), otc, otc-swiss.",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    help="Format of the result on stdout; github has notes with -v only.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--output",
    "outputs",
    multiple=True,
    metavar="FORMAT:FILE",
    help="Write a report to FILE; repeatable. Without --format stdout then stays empty.",
)
@click.option(
    "--select",
    shell_complete=rules,
    multiple=True,
    callback=split_commas,
    metavar="ID",
    help="Check only these rules; IMS2 is all IMS2xx.",
)
@click.option(
    "--ignore",
    multiple=True,
    callback=split_commas,
    metavar="ID",
    help="Leave these rules out.",
    shell_complete=rules,
)
@click.option(
    "--severity",
    shell_complete=severities,
    multiple=True,
    callback=split_commas,
    metavar="ID=WORD",
    help="Report a rule as error, warning or note.",
)
@click.option(
    "--fail-on",
    shell_complete=words("error", "warning", "note", "never"),
    help="Fail from this severity on: error (default), warning, note or never.",
)
@click.option("--strict", is_flag=True, default=None, help="The same as --fail-on warning.")
@click.option(
    "--scan", is_flag=True, help="Read the whole image: find its zeros, and how much is data."
)
@hole_options
@click.option("--guest", is_flag=True, help="Check inside the file systems too.")
@click.option("--boot", is_flag=True, help="Start the image in QEMU too, and check that it boots.")
@click.option("--deep", is_flag=True, help="Unpack every block of a ZVHD2 file.")
@click.option(
    "--online",
    metavar="TARGET",
    help="Check the bucket and the service too: obs:BUCKET or local:DIR.",
)
@click.option("--region", envvar=["HW_REGION_NAME", "OS_REGION_NAME"], show_envvar=True,
              shell_complete=regions,
              help="Region of the bucket that --online names.")  # fmt: skip
@click.option("--jobs", type=CountType(0), help="Images checked at the same time; 0: one per CPU.")
@click.option(
    "--obs-endpoint", metavar="URL", help="Address of the object store, instead of the region's."
)
@click.option(
    "--endpoint", metavar="URL", help="Address of the image service, instead of the site's."
)
@ca_bundle_option
@profile_option
@click.option(
    "--config", type=PATH, help="Use this configuration file, not the nearest imsprep.toml."
)
@click.option(
    "--reproducible", is_flag=True, help="Leave this machine's folders out of the output."
)
@click.option("--list-rules", is_flag=True, help="List all rules and exit.")
@click.option("--explain", shell_complete=rules, metavar="ID", help="Explain one rule and exit.")
@click.option("--show-skipped", is_flag=True, help="Show why rules were skipped.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print only what fails, and a line for each image."
)
@screen_options
@request_options
def command(images: tuple[Path, ...], **options: Any) -> int:
    """Check disk images and the request to import them, offline and in seconds.

    No image is changed, and nothing is sent except the requests of --online. A folder stands for
    the images in it.
    """
    if options["list_rules"] or options["explain"]:
        return _tell_rules(options["explain"], options["as_json"])
    if not images:
        raise UsageError("no image given; imsprep check --help shows how")
    from imsprep import api

    kept: list[Path] = []
    if options["outputs"]:
        kept = [*api.images_in(images), *filter(None, [options["config"]])]
    targets = output_targets(options["outputs"], FORMATS, kept)
    shown = _shown(options)
    run = _run(images, options, wants_map=options["scan"] or "html" in (shown, *dict(targets)))
    style = style_for(
        sys.stdout, skipped=options["show_skipped"], more_skipped=WHY_SKIPPED,
        coverage=options["scan"], quiet=options["quiet"],
    )  # fmt: skip
    return _publish(run, shown, targets, style)


def _run(images: tuple[Path, ...], options: dict[str, Any], *, wants_map: bool) -> Run:
    from imsprep import api
    from imsprep.cli.progress.watcher import Watcher
    from imsprep.cli.settings import layers as config

    settings = settings_here(options["config"])
    for key in ("site", "fail-on", "strict", "jobs"):
        value = options[key.replace("-", "_")]
        if value is not None:
            settings[key] = config.Setting(value, f"--{key}")
    if options["fail_on"] is not None and options["strict"] is None:
        settings["strict"] = config.Setting(False, "--fail-on")
    config.validate(settings)
    settings["site"] = site_of_region(settings["site"], options["region"])
    quiet = options["quiet"] or not (wants_map or options["deep"])
    with Watcher(quiet=quiet) as watcher:
        if not options["quiet"]:
            watcher.begin_check()
        asked = check_options(options, settings, scan=wants_map)
        return api.check_images(images, replace(asked, progress=watcher))


def _shown(options: dict[str, Any]) -> str | None:
    """Return the format for stdout; None if every report goes to a file."""
    formats = [*options["formats"], *(["json"] if options["as_json"] else [])]
    if len(set(formats)) > 1:
        raise UsageError("stdout takes one --format; use --output FORMAT:FILE for the others")
    return formats[0] if formats else None if options["outputs"] else "text"


def _publish(run: Run, shown: str | None, targets: list[tuple[str, Path]], style: Style) -> int:
    """Write the files, then stdout; what could not be checked is said on stderr too.

    Not where stdout says the same at the same place: on a terminal, in the log of a workflow.
    """
    from imsprep.checks.reporters import render
    from imsprep.checks.reporters.text import text

    for format_, path in targets:
        write_output(path, render(run, format_, notes=verbosity() > 0))
    text_again = shown == "text" and run.reports and is_one_place(sys.stdout, sys.stderr)
    for failure in run.failures if shown != "github" and not text_again else ():
        say(f"imsprep: {failure.message}")
    if shown == "text":
        if run.reports:
            sys.stdout.write(text(run, style))
        return run.exit_code
    for complaint in run.complaints:
        say(f"imsprep: {complaint}")
    if shown is not None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # as the formats say, whatever the locale
        sys.stdout.write(render(run, shown, notes=verbosity() > 0))
    return run.exit_code


def _tell_rules(explain: str | None, as_json: bool) -> int:
    import json

    from imsprep import api

    chosen = api.rules(explain)
    if as_json:
        value = {"schema": "imsprep.check-rules/1", "rules": [rule.as_dict() for rule in chosen]}
        click.echo(json.dumps(value, indent=2))
    elif explain:
        rule = chosen[0]
        title = wrapped(rule.title, sys.stdout, 0)
        click.echo(f"{rule.id}  {rule.severity.word}  {rule.subject}\n{title}\n")
        for name, words in (("Why", rule.why), ("Fix", rule.fix), ("Source", rule.source)):
            if not words:
                continue
            click.echo(wrapped(f"{name + ':':<8}{words}", sys.stdout, 8))
    else:
        for rule in chosen:
            line = f"{rule.id}  {rule.severity.word:7}  {rule.subject:9}  {rule.title}"
            click.echo(wrapped(line, sys.stdout, 28))
    return 0
