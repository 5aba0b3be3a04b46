"""What a person sees of an upload: how far it is, and how to go on after an interruption."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imsprep.cli.screen import end_bars, say

if TYPE_CHECKING:
    from imsprep.upload.values import Uploaded

AGAIN = "run the same command again to continue"


def tell_how_it_went(done: Uploaded) -> None:
    """Print on stderr what a person should know of an upload that ended well."""
    if done.sharing:
        say(f"imsprep: warning: {done.key}: {done.sharing}")
    if done.restarted:
        say(f"imsprep: {done.key} was started from the beginning: {done.restarted}")
    if done.left_behind:
        where, key = target_options(done.left_behind[0]), shlex.quote(done.left_behind[1])
        command = f"imsprep uploads abort {where} --key {key}"
        say(f"imsprep: to remove what that upload left: {command}")
    if not done.etags_compared and not done.skipped:
        copied = ", and those that were copied have their size alone" if done.copied else ""
        say(
            f"imsprep: {done.key}: the bucket encrypts, so that its ETags are not MD5s and were not"
            f" compared: the store checked the MD5 of each part that was sent{copied}"
        )
    if done.left:
        say(f"imsprep: left in the bucket: {done.left}; remove it with `imsprep uploads abort`")


def target_options(target: str) -> str:
    """Return the options that name a target, from its `str`."""
    from imsprep.store.target import DEFAULT_BUCKET

    if match := re.fullmatch(r"local:(.*) \(bucket (.*)\)", target, re.DOTALL):
        folder, bucket = match.groups()
        name = "" if bucket == DEFAULT_BUCKET else f"?bucket={bucket}"
        return f"--to {shlex.quote(f'local:{folder}{name}')}"
    bucket, _, place = target.partition(" at ")
    option = "--endpoint" if "://" in place else "--region"
    return f"--to {shlex.quote(bucket)}" + (f" {option} {shlex.quote(place)}" if place else "")


@contextmanager
def if_interrupted(how_to_go_on: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Print on stderr how to go on if Ctrl-C or SIGTERM ends the block."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            end_bars()
            for line in how_to_go_on():
                say(line)
        raise
