"""The check: many images under one policy, in a fixed order, and one that fails stops none.

An image that cannot be checked does not stop the others: it becomes a Failure among the reports.
"""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imsprep import __version__
from imsprep.checks import registry
from imsprep.checks.gather_facts import QUICK, Look, gather_file
from imsprep.checks.naming import named
from imsprep.checks.policy import EVERYTHING, Policy
from imsprep.checks.reporters import Failure, Run
from imsprep.cloud.sites import SITES, Site
from imsprep.errors import ImsprepError, ReadError, show_path
from imsprep.image.formats import SUFFIXES
from imsprep.ims.region import RegionFacts
from imsprep.ims.request import RequestFields
from imsprep.options import DEFAULT_SITE
from imsprep.report import Finding, Report, Severity
from imsprep.store.bucket import BucketFacts
from imsprep.system.threads import Workers, usable_cpus


@dataclass(frozen=True)
class CheckTask:
    """What is to be checked, how, and against what."""

    request: RequestFields = dataclasses.field(default_factory=RequestFields)
    site: Site = SITES[DEFAULT_SITE]
    policy: Policy = EVERYTHING
    fail_on: Severity | None = Severity.ERROR
    look: Look = QUICK
    # Tells, for an image's name, what its bucket knows; None asks nothing.
    online: Callable[[str], BucketFacts] | None = None
    region: RegionFacts | None = None  # what the region answered; None: not asked
    reproducible: bool = False  # name images without their folders


def preflight(
    paths: Iterable[Path],
    task: CheckTask,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda count: None,
) -> Run:
    """Check every image and return the results in the order of `paths`.

    Raises UsageError if the policy names an unknown rule; whatever is wrong with one image ends
    up in its result. `progress` is called with the bytes that scans are done with, by several
    threads.
    """
    rules = registry.all_rules()
    task.policy.validate({rule.id for rule in rules})
    results = _check_all(expand(paths), task, jobs, progress)
    findings: dict[str, tuple[Finding, ...]] = {}
    for result in results:
        if isinstance(result, Report):
            name = Path(result.image).name
            findings[name] = findings.get(name, ()) + result.findings
    return Run(
        results=results,
        rules=tuple(rule for rule in rules if task.policy.selects(rule.id)),
        fail_on=task.fail_on,
        version=__version__,
        complaints=tuple(task.policy.complaints(findings)),
    )


def _check_all(
    images: list[Path], task: CheckTask, jobs: int, progress: Callable[[int], None]
) -> tuple[Report | Failure, ...]:
    """Check images side by side; an interruption stops the scans that are under way."""
    stopped = threading.Event()

    def tick(count: int) -> None:
        if stopped.is_set():
            raise ReadError("stopped")
        progress(count)

    if len(images) == 1:  # in this thread, so that Ctrl-C arrives where the work is
        return (_check(images[0], task, tick),)
    count = max(1, min(jobs, len(images)))
    task = dataclasses.replace(task, look=_shared(task.look, count))
    with Workers(count) as workers:
        try:
            return tuple(workers.map(lambda path: _check(path, task, tick), images))
        except BaseException:
            stopped.set()
            raise


def _shared(look: Look, workers: int) -> Look:
    """Give each of `workers` images checked side by side its share of the CPUs."""
    share = max(1, usable_cpus() // workers)
    wanted = look.scanning.jobs or share
    scanning = dataclasses.replace(look.scanning, jobs=min(wanted, share))
    return dataclasses.replace(look, scanning=scanning)


def expand(paths: Iterable[Path]) -> list[Path]:
    """Replace each folder by the images directly in it, chosen by suffix and sorted by name.

    A pattern that no shell replaced stands for the files that it fits. A folder without images
    stays as it is, as does a pattern without files, and cannot be checked. Nothing is named twice.
    """
    found: list[Path] = []
    for path in itertools.chain.from_iterable(map(_fitting, paths)):
        try:
            inside = sorted(p for p in path.iterdir() if _is_image(p)) if path.is_dir() else []
        except OSError as error:
            raise ReadError.from_os(error, "cannot list", path) from error
        found += inside or [path]
    return list(dict.fromkeys(found))


def _fitting(path: Path) -> list[Path]:
    """Return what a pattern fits, sorted, unless a file has just this name."""
    if os.path.lexists(path) or not glob.has_magic(os.fspath(path)):
        return [path]
    return [Path(name) for name in sorted(glob.glob(os.fspath(path)))] or [path]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def check_one(path: Path, task: CheckTask, progress: Callable[[int], None]) -> Report:
    """Check one image; raises ReadError, ImageChangedError, UsageError for an unknown rule."""
    facts = gather_file(
        path, request=task.request, site=task.site, look=task.look, progress=progress
    )
    facts = dataclasses.replace(facts, path=_shown(path, task), region=task.region)
    if task.online is not None:
        packed = facts.to_be_packed or facts.would_be_packed
        name = path.with_suffix(".zvhd2").name if packed else path.name
        facts = dataclasses.replace(facts, bucket=task.online(name))
    report = dataclasses.replace(registry.run(facts, task.policy), image=_shown(path, task))
    return named(report)


def _shown(path: Path, task: CheckTask) -> str:
    return show_path(path.name if task.reproducible else path)


def _check(path: Path, task: CheckTask, progress: Callable[[int], None]) -> Report | Failure:
    try:
        return check_one(path, task, progress)
    except ImsprepError as error:
        shown, message = _shown(path, task), str(error)
        if task.reproducible:
            message = message.replace(show_path(path), shown)
        return Failure(shown, type(error).__name__, message, error.exit_code)
