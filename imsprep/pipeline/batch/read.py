"""Read a plan: the file, its entries, and what no two images may share."""

from __future__ import annotations

from pathlib import Path

from imsprep.bitmap.bits import bitmap_path
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.options import ImportOptions
from imsprep.pipeline.batch import plan
from imsprep.pipeline.batch.entries import known_options, options_of
from imsprep.pipeline.batch.values import BatchEntry
from imsprep.pipeline.container.kept import place_for
from imsprep.pipeline.from_options import site_of
from imsprep.pipeline.import_task import target_of
from imsprep.pipeline.manifest import path_for
from imsprep.pipeline.upload_formats import RAW
from imsprep.system.paths import optional_path
from imsprep.units import MIB, exact_size

_COMMANDS = "imsprep import takes an image"
_MAX_PLAN = 16 * MIB  # bytes, some 100,000 images; what is larger is an image itself


def read_entries(path: Path, base: ImportOptions) -> list[BatchEntry]:
    """Return the entries of a plan; `base` holds what applies where it says nothing.

    Raises UsageError with all mistakes, ReadError, MissingExtraError without PyYAML.
    """
    source = show_path(path)
    mistakes: list[tuple[int, str]] = []
    entries = plan.parse(_text(path), source, known_options(), mistakes)
    folder = path.absolute().parent
    named = []
    for entry in entries:
        options = options_of(entry, str(folder), base, mistakes)
        if options is None:
            continue
        try:
            target_of(options)
            site_of(options.site)
        except UsageError as error:
            mistakes.append((entry.line, f"{entry.image}: {error}"))
            continue
        if not entry.understood:
            continue  # what it would claim is not known
        image = str(folder / entry.image)
        named.append((entry, BatchEntry(image, entry.image, options.name or "", options)))
    mistakes += plan.clashes([(entry, _claims(named)) for entry, named in named])
    plan.refuse(source, mistakes)
    return [named for _, named in named]


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _MAX_PLAN:
            raise UsageError(
                f"{show_path(path)} is not a plan: it has {exact_size(size)}; {_COMMANDS}"
            )
        return path.read_text("utf-8")
    except IsADirectoryError:
        raise UsageError(
            f"{show_path(path)} is a folder, and a plan is expected: a file that names the images;"
            f" {_COMMANDS}, imsprep check the images of a folder"
        ) from None
    except OSError as error:
        raise ReadError.from_os(error, "cannot read", path) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{show_path(path)} is not a plan: byte {error.start} is not UTF-8; {_COMMANDS}"
        ) from None


def _claims(named: BatchEntry) -> list[tuple[str, str]]:
    """Return what no other image of the plan may have: in words, and as a value."""
    target, image, via = target_of(named.options), Path(named.image), named.options.via
    place = place_for(image, optional_path(named.options.work_dir))
    raw = via == RAW or named.options.bitmap or named.options.layout
    name = image.name if raw else place.name
    key = target.key_for(named.options.key or name)
    kept = not raw and named.options.work_dir is not None
    packed = [("the container", str(place.resolve()))] if kept else []
    return [
        *packed,
        ("the image", str(Path(named.image).resolve())),
        ("the name", named.name),
        ("the manifest", str(path_for(image).resolve())),
        ("the object", f"{key} in {target}"),
        ("the bitmap's object", f"{bitmap_path(Path(key))} in {target}"),
    ]
