"""IMS5xx, tags: the tags of a request, and the address of its image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imsprep.checks.facts import Facts
from imsprep.checks.rule import FILE, QUICK_IMPORT, Evidence, UnknownError, rule
from imsprep.checks.rules.request import CHINESE, given
from imsprep.image import formats
from imsprep.report import Severity

TAG_FORMAT = 'API reference, "Image Tag Data Formats", 2025-02-21'
OBS = "OBS API reference, 2024-04-01"
MAX_TAGS = 10
MAX_TAG_KEY, MAX_TAG_VALUE = 36, 43  # characters
MAX_KEY = 1024  # bytes of UTF-8
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LIKE_IP = re.compile(r"\d+(\.\d+){3}")
_SAFE_KEY = re.compile(r"[A-Za-z0-9._/-]+")


class _Part(NamedTuple):
    """What a tag's key or value may be."""

    what: str
    shortest: int  # characters
    longest: int
    allowed: str  # as a class of a pattern; Chinese is added where a site takes it


_KEY = _Part("key", 1, MAX_TAG_KEY, "A-Za-z0-9_-")
_VALUE = _Part("value", 0, MAX_TAG_VALUE, "A-Za-z0-9_.-")


def pairs(facts: Facts) -> list[tuple[str, str]]:
    """Return all tags as key and value; a plain tag is split at its first dot."""
    if facts.request.tags is None and facts.request.image_tags is None:
        raise UnknownError("no tags given")
    plain = [tag.partition(".")[::2] for tag in facts.request.tags or ()]
    # Edge spaces of image_tags are deleted by the service.
    return plain + [(k.strip(" "), v.strip(" ")) for k, v in facts.request.image_tags or ()]


@rule(
    "IMS505", Severity.ERROR, "There are too many tags, or a key is given twice",
    why="The service answers IMG.0116 or IMG.0115.",
    fix="Give at most 10 tags with different keys.",
    source=f"{TAG_FORMAT}; error IMG.0116",
)  # fmt: skip
def tag_count(facts: Facts) -> Iterator[Evidence]:
    """Count the tags and look for keys that repeat."""
    keys = [key for key, _ in pairs(facts)]
    if len(keys) > MAX_TAGS:
        tags = f"{len(keys)} tags"
        yield Evidence(tags, expected=f"at most {MAX_TAGS} tags", found=tags)
    for key in dict.fromkeys(k for k in keys if keys.count(k) > 1):
        yield Evidence(f"the tag key {key!r} is given {keys.count(key)} times", found=key)


@rule(
    "IMS506", Severity.ERROR, "A tag's key is not allowed",
    why="The service answers IMG.0115.",
    fix="Use 1 to 36 letters, digits, underscores and hyphens.",
    source=TAG_FORMAT,
)  # fmt: skip
def tag_keys(facts: Facts) -> Iterator[Evidence]:
    """Check length and alphabet of each key."""
    for key, _ in pairs(facts):
        yield from _tag_text(_KEY, key, facts)


@rule(
    "IMS507", Severity.ERROR, "A tag's value is not allowed",
    why="The service answers IMG.0115.",
    fix="Use up to 43 letters, digits, underscores, hyphens and dots.",
    source=f"{TAG_FORMAT}; OTC, 2025-12-17, lists no dot",
)  # fmt: skip
def tag_values(facts: Facts) -> Iterator[Evidence]:
    """Check length and alphabet of each value; a dot is only doubtful where no page lists it."""
    for _, value in pairs(facts):
        yield from _tag_text(_VALUE, value, facts)
        if "." in value and not facts.site.dot_in_tag_value:
            yield Evidence(
                f"the tag value {value!r} has a dot, which {facts.site.title} does not list",
                found=value, severity=Severity.WARNING,
            )  # fmt: skip


@rule(
    "IMS518", Severity.ERROR, "image_url does not name a bucket and an object",
    why="The service answers IMG.0017, IMG.0068 or IMG.0109.",
    fix="Write BUCKET:KEY, as in images:web01/disk.zvhd2",
    source=f"{QUICK_IMPORT}: image_url; {OBS}: bucket names",
)  # fmt: skip
def bucket(facts: Facts) -> Iterator[Evidence]:
    """Check the form, and the bucket's name."""
    url = given(facts, "image_url")
    name, colon, key = url.partition(":")
    if "://" in url or not colon or not key:
        yield Evidence(f"{url!r} is not BUCKET:KEY", expected="BUCKET:KEY", found=url)
        return
    problem = _bucket_problem(name)
    if problem:
        yield Evidence(
            f"the bucket name {name!r} {problem}",
            expected="3 to 63 lower-case letters, digits, hyphens, dots", found=name,
        )  # fmt: skip


@rule(
    "IMS519", Severity.ERROR, "The object's key has white space or is too long",
    why="The service answers IMG.0175 for spaces; OBS takes keys up to 1024 bytes.",
    fix="Use letters, digits, dots, hyphens, underscores and slashes.",
    source=f"API reference, Error Codes: IMG.0175, 2025-12-17; {OBS}: keys",
)  # fmt: skip
def object_key(facts: Facts) -> Iterator[Evidence]:
    """Check the key; characters that no page speaks of are a warning."""
    key = given(facts, "image_url").partition(":")[2]
    length = len(key.encode("utf-8", "surrogatepass"))
    if any(c.isspace() for c in key):
        odd = sorted({c for c in key if c.isspace()})
        what = "a space" if odd == [" "] else f"white space: {' '.join(map(repr, odd))}"
        yield Evidence(f"the key {key!r} has {what}", expected="no white space", found=key)
    if length > MAX_KEY:
        yield Evidence(
            f"the key has {length} bytes",
            expected=f"at most {MAX_KEY} bytes",
            found=f"{length} bytes",
        )
    elif (key and not _SAFE_KEY.fullmatch("".join(key.split()))) or key.startswith("/"):
        yield Evidence(
            f"whether the service takes the key {key!r} is not documented",
            expected="letters, digits, . _ / - and no slash in front", found=key,
            severity=Severity.WARNING,
        )  # fmt: skip


@rule(
    "IMS520", Severity.WARNING, "The object's suffix says another format than the file's content",
    why="The service may go by the name; a RAW image finds its bitmap by it.",
    fix="End the key in .raw for RAW, in .zvhd2 for ZVHD2.",
    source=f"{QUICK_IMPORT}: examples; that the service looks at the suffix is inferred",
    of=FILE,
)  # fmt: skip
def key_suffix(facts: Facts) -> Iterator[Evidence]:
    """Compare the key's suffix with the content."""
    key = given(facts, "image_url").partition(":")[2]
    suffix = f".{facts.format}"
    if facts.format in (formats.RAW, formats.ZVHD2) and not key.lower().endswith(suffix):
        yield Evidence(f"the content is {facts.format}", expected=f"*{suffix}", found=key)


def _tag_text(part: _Part, text: str, facts: Facts) -> Iterator[Evidence]:
    what, shortest, longest, allowed = part
    if not shortest <= len(text) <= longest:
        yield Evidence(
            f"the tag {what} {text!r} has {len(text)} characters",
            expected=f"{shortest} to {longest} characters", found=f"{len(text)} characters",
        )  # fmt: skip
    chinese = CHINESE if facts.site.chinese_names else ""
    odd = dict.fromkeys(re.findall(f"[^{chinese}{allowed}]", text))
    if odd:
        shown = " ".join(repr(c) for c in odd)
        yield Evidence(f"not allowed in the tag {what} {text!r}: {shown}", found=shown)


def _bucket_problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if not 3 <= len(name) <= 63:
        return f"has {len(name)} characters"
    if not _BUCKET.fullmatch(name):
        return "has characters that are not allowed, or starts or ends with one"
    if any(pair in name for pair in ("..", ".-", "-.")):
        return "has two of . and - side by side"
    return "looks like an IP address" if _LIKE_IP.fullmatch(name) else None
