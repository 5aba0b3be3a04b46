"""The manifest: `disk.imsprep.json` next to the image binds image, objects and import job.

It is written after every step, so that a run which ended early is continued by the next: the job is
waited for and not started again, and a request that may have been accepted is looked for first.
Its shape is published as a JSON schema, `imsprep/data/manifest-1.json`; a change that a reader
could notice raises the version. It holds no secret.

The same file may be imported under another name, or to another target, or with another content, and
then as before: earlier imports that may have made an image are kept too, so that none is repeated.

    uploaded   the objects are in the bucket
    asking     the import was about to be asked for; whether it was is not known
    started    a job runs
    done       the image exists
    failed     the job failed, or the service refused
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imsprep import __version__
from imsprep.errors import ReadError, UsageError, show_path
from imsprep.image.file import RawImage, Sharing
from imsprep.image.identity import Identity
from imsprep.system import ownership, statefile
from imsprep.system.ownership import Advice
from imsprep.system.regular import file_name
from imsprep.system.statefile import StateFileError

VERSION = 1
SUFFIX = ".imsprep.json"

UPLOADED, ASKING, STARTED, DONE, FAILED = "uploaded", "asking", "started", "done", "failed"
STATES = (UPLOADED, ASKING, STARTED, DONE, FAILED)
BEGUN = (ASKING, STARTED, DONE)  # an image may have come of it
MOST_EARLIER = 100  # imports of one file that are kept; twice the images that an account may have
LOCAL = "local:"  # how the name of a service begins that is the emulator over a folder


@dataclass(frozen=True)
class SentObject:
    """An object in the bucket, and what it was made of; sizes in bytes."""

    role: str  # image, bitmap or container
    file: str  # its name on this machine
    bucket: str
    key: str
    size: int
    etag: str
    sha256: str | None  # of the whole file; None if it was not asked for
    sent: int  # travelled over the network, in all runs together


@dataclass(frozen=True)
class ManifestImage:
    """The image as it was when it was imported; sizes in bytes."""

    name: str  # of its file
    size: int  # what the guest sees
    identity: Identity
    data_bytes: int | None = None  # in blocks that hold data, as far as it was looked at
    sharing: Sharing | None = None
    boot_mode: Mapping[str, object] | None = None  # as the schema has it; for readers
    digest: str | None = None  # of the disk, if all of it was read

    def __post_init__(self) -> None:
        """Raise ValueError unless it is named as a file of the same folder."""
        file_name(self.name)

    @property
    def lasting(self) -> tuple[object, ...]:
        """What tells an image from others in every run; see `Identity.lasting`.

        How much of it is data depends on how it was scanned, and is not part of that.
        """
        return (self.name, self.size, self.identity.lasting)

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON, as the schema describes them."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Manifest:
    """All that is known of one import. Times are UTC, as ISO 8601."""

    state: str
    image: ManifestImage
    objects: tuple[SentObject, ...]
    request: Mapping[str, object]  # the body, as it was sent
    service: str  # the URL it was sent to
    findings: tuple[Mapping[str, object], ...] = ()
    job_id: str | None = None
    image_id: str | None = None
    reason: str | None = None  # why it failed, in the service's words
    times: Mapping[str, str] | None = None
    images_before: tuple[str, ...] = ()  # of the same name, before the import was asked for
    earlier: tuple[Manifest, ...] = ()  # other imports of the file, the latest first

    def __post_init__(self) -> None:
        """Raise ValueError unless it says how far its import is."""
        if self.state not in STATES:
            raise ValueError(f"{self.state[:20]!r} is not a state of an import")
        if self.state == STARTED and not (self.job_id or self.image_id):
            raise ValueError("the import has begun, and there is neither a job nor an image")
        if self.state == DONE and not self.image_id:
            raise ValueError("the import is done, and there is no image")

    def at(self, state: str, when: str) -> Manifest:
        """Return the manifest in a later state, with the time of the change."""
        return replace(self, state=state, times={**(self.times or {}), state: when})

    def is_about(self, image: ManifestImage, request: Mapping[str, object], service: str) -> bool:
        """Return whether this is the import of the same disk, asked for alike.

        It is the same state of the same file, or has the digest of what was imported: other rights
        or another time of a file make no other disk.
        """
        if (self.request, self.service) != (request, service):
            return False
        same_file = self.image.lasting == image.lasting
        return same_file or (self.may_hold(image) and self.image.digest == image.digest)

    def may_hold(self, image: ManifestImage) -> bool:
        """Return whether a digest tells if a file that is in another state is the same disk."""
        mine = self.image
        return (mine.name, mine.size) == (image.name, image.size) and mine.digest is not None

    @property
    def of_others(self) -> tuple[str, ...]:
        """The ids of images that are known to be of other requests, perhaps of the same name."""
        return (*self.images_before, *(i.image_id for i in self.earlier if i.image_id))

    def others(self, one: Manifest | None) -> tuple[Manifest, ...]:
        """Return what the manifest of `one`, of these imports or a new one, keeps of the others."""
        kept = [i for i in imports_of(self) if i.state in BEGUN and i is not one]
        return tuple(replace(i, earlier=(), findings=()) for i in kept[:MOST_EARLIER])

    def turned_to(self, one: Manifest) -> Manifest:
        """Return the manifest with `one` of these imports as the present one."""
        return self if one is self else replace(one, earlier=self.others(one))

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON, as the schema describes them."""
        earlier = [one._members() for one in self.earlier]
        return {
            "schema": VERSION,
            "imsprep": __version__,
            **self._members(),
            "findings": [dict(finding) for finding in self.findings],
            **({"earlier": earlier} if earlier else {}),
        }

    def _members(self) -> dict[str, object]:
        """Return what is written of each import."""
        left_out = ("findings", "earlier")
        known = {k: v for k, v in vars(self).items() if v is not None and k not in left_out}
        return {
            **known,
            "image": self.image.as_dict(),
            "objects": [vars(sent) for sent in self.objects],
            "images_before": list(self.images_before),
        }


def path_for(image: Path) -> Path:
    """Return the manifest's path: `disk.raw` has `disk.imsprep.json`."""
    return image.with_suffix(SUFFIX)


def imports_of(manifest: Manifest | None) -> tuple[Manifest, ...]:
    """Return the imports that a manifest knows, the latest first; none if there is no manifest."""
    return (manifest, *manifest.earlier) if manifest else ()


def has_begun(image: RawImage, request: Mapping[str, object], folder: Path | None) -> bool:
    """Return whether an earlier run has asked for this import of the image as it is now.

    `folder` is that of a `local:` target, None of a bucket.
    """
    return any(
        one.state in BEGUN and one.image.identity.same_content_as(image.identity)
        for one in _asked_for(image.path, request, folder)
    )


def made_before(image: Path, request: Mapping[str, object], folder: Path | None) -> str | None:
    """Return the id of the image that this very import of the file, as it is now, has made.

    `folder` as in `has_begun`. Whether the service still lists it is not known.
    """
    for one in _asked_for(image, request, folder):
        if one.state == DONE and one.image.identity.same_content_as(Identity.of_image(image)):
            return one.image_id
    return None


def made_of(image: Path, request: Mapping[str, object], folder: Path | None) -> tuple[str, ...]:
    """Return the ids of the images that this import made of the file, in whatever state it was.

    `folder` as in `has_begun`. Only the digest tells whether its disk is still the same.
    """
    return tuple(
        one.image_id
        for one in _asked_for(image, request, folder)
        if one.state == DONE and one.image_id and one.image.name == image.name
        and one.image.digest is not None
    )  # fmt: skip


def _asked_for(
    image: Path, request: Mapping[str, object], folder: Path | None
) -> Iterator[Manifest]:
    """Yield the imports of a file with this request to this target."""
    for one in imports_of(read(path_for(image))):
        if one.request == request and _is_at(one.service, folder):
            yield one


def _is_at(service: str, folder: Path | None) -> bool:
    """Return whether a service may be that of a target; which of two sites it is, is not known."""
    return not service.startswith(LOCAL) if folder is None else service == f"{LOCAL}{folder}"


def write(path: Path, manifest: Manifest) -> None:
    """Write it; the file is whole at every instant. Raises ReadError."""
    statefile.save(path, manifest.as_dict(), schema=VERSION, with_checksum=True)


def read(path: Path) -> Manifest | None:
    """Return what an earlier run wrote, or None if there is nothing that can be used.

    Raises ReadError if it is not a regular file: no manifest could be written there.
    """
    try:
        return statefile.load(path, Manifest, schema=VERSION)
    except FileNotFoundError:
        return None
    except StateFileError:
        if path.exists() and not path.is_file():
            raise
        return None


def check_replaceable(path: Path, image: Path) -> None:
    """Raise UsageError if a manifest would replace a foreign file, or that of a begun import.

    Raises ReadError for one of imsprep's own that cannot be used: it may tell of an import, which
    would be asked for a second time.
    """
    try:
        earlier = statefile.load(path, Manifest, schema=VERSION)
    except FileNotFoundError:
        return
    except StateFileError as error:
        if path.exists() and not path.is_file():
            raise
        if not error.ours:
            raise UsageError(
                f"{show_path(path)} was not written by imsprep, or is damaged; if an import of this"
                " image was requested before, look for the image at the service, then move this"
                " file away"
            ) from error
        raise ReadError(
            f"{error}; whether this import was already requested is not known: look for its image"
            " at the service, then move this file away and run again"
        ) from error
    if earlier.state in (ASKING, STARTED):
        ownership.check_owner(
            path,
            image,
            earlier.image.name,
            what="the manifest of the import that was begun",
            advice=Advice("finish that import first, or rename this image"),
        )
