"""Options: what a caller may set, with every default; no other module has one.

A class for each function of `imsprep.api`, put together from groups that several of them share.
The functions take the fields as keywords; the command line and a batch make the values themselves.
Sizes are bytes, times seconds. A value that is not one of the allowed ones raises UsageError here.
"""

from __future__ import annotations

import numbers
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from imsprep.errors import UsageError
from imsprep.progress import Progress, silent
from imsprep.units import GIB, MIB, counted

if TYPE_CHECKING:
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.checks.policy import Waiver
    from imsprep.trial.plan import Architecture, Firmware

StrPath = str | os.PathLike[str]

DEFAULT_SITE = "huawei-intl"
DEFAULT_PART_SIZE = 32 * MIB
FAIL_ON = ("error", "warning", "note", "never")
_CHOICES = "choices"


def _choice(default: object, *allowed: str | None) -> Any:
    """Return a field that takes one of a few words."""
    return field(default=default, metadata={_CHOICES: allowed})


def _is_one(type_: str, value: object) -> bool:
    """Return whether a value has a type of the annotations below; any other is found by name."""
    if type_ == "StrPath":
        return isinstance(value, str | os.PathLike)
    if type_ in ("int", "float"):
        whole = isinstance(value, numbers.Integral)
        return not isinstance(value, bool) and (
            whole or (type_ == "float" and isinstance(value, numbers.Real))
        )
    if type_ == "Progress":
        return callable(value)
    inside = _OF_MANY.fullmatch(type_)
    if inside is not None and isinstance(value, list | tuple):
        return all(_is_one(inside[1], part) for part in value)
    if type_ == "tuple[str, str]":
        return isinstance(value, list | tuple) and [*map(type, value)] == [str, str]
    if type_ == "Mapping[str, str]":
        return isinstance(value, Mapping) and {type(w) for p in value.items() for w in p} <= {str}
    return type_ in [known.__name__ for known in type(value).__mro__]


def _lacks(annotation: str, value: object) -> str | None:
    """Return in words what a value of an option should be; None if it is."""
    types = annotation.split(" | ")
    if "BitmapLayout" in types:
        types.append("StrPath")
    if (value is None and "None" in types) or any(_is_one(type_, value) for type_ in types):
        return None
    return " or ".join(dict.fromkeys(_IN_WORDS.get(type_, type_) for type_ in types))


_OF_MANY = re.compile(r"tuple\[(.*), \.\.\.\]")
_IN_WORDS = {
    "int": "a whole number", "float": "a number", "bool": "True or False", "str": "a text",
    "StrPath": "a path", "bytes": "bytes", "Progress": "a function",
    "tuple[str, ...]": "a list of texts", "Mapping[str, str]": "a dict of texts",
    "tuple[tuple[str, str], ...]": "a list of pairs of texts", "tuple[Waiver, ...]":
    "a list of Waiver",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all have: where progress goes."""

    progress: Progress = field(default=silent, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise UsageError for a value of another type, or a word that is not an allowed one."""
        for one in fields(self):
            allowed, value = one.metadata.get(_CHOICES), getattr(self, one.name)
            if allowed is not None and value not in allowed:
                words = ", ".join(str(word) for word in allowed if word is not None)
                raise UsageError(f"{one.name} is {value!r}, not one of {words}")
            if allowed is None and (expected := _lacks(str(one.type), value)) is not None:
                raise UsageError(f"{one.name} is {value!r}; expected {expected}")
            if one.name == "jobs" and value is not None and value < 1:
                raise UsageError(f"jobs is {value}; expected 1 or more")
            if one.name == "uuid" and value is not None and len(value) != 16:
                raise UsageError(f"uuid has {counted(len(value), 'byte')}; expected 16")


def choices(of: type[Options], name: str) -> tuple[str, ...]:
    """Return the words that an option takes."""
    (found,) = (one.metadata[_CHOICES] for one in fields(of) if one.name == name)
    return tuple(word for word in found if word is not None)


@dataclass(frozen=True, kw_only=True)
class RequestOptions(Options):
    """What is asked of the image service; see `ims.request`. None is not sent."""

    name: str | None = None  # of the image
    image_url: str | None = None  # bucket:key
    min_disk: int | None = None  # GiB
    os_version: str | None = None
    os_type: str | None = None
    type: str | None = None  # ECS, BMS or DataImage
    description: str | None = None
    license_type: str | None = None
    tags: tuple[str, ...] = ()  # key.value
    image_tags: tuple[tuple[str, str], ...] = ()
    enterprise_project_id: str | None = None
    architecture: str | None = None
    firmware: str | None = None  # bios or uefi


@dataclass(frozen=True, kw_only=True)
class SiteOptions(Options):
    """Whose limits count."""

    site: str = DEFAULT_SITE


@dataclass(frozen=True, kw_only=True)
class PlaceOptions(Options):
    """Where the object store and the services are."""

    region: str | None = None
    obs_endpoint: str | None = None  # of the object store, instead of the region's
    ca_bundle: StrPath | None = None  # certificates to trust instead of the usual ones


@dataclass(frozen=True, kw_only=True)
class ServiceOptions(SiteOptions, PlaceOptions):
    """Which image service is meant."""

    endpoint: str | None = None  # of the image service, instead of the site's
    api: str = _choice("v2", "v2", "v2.1")


@dataclass(frozen=True, kw_only=True)
class RuleOptions(Options):
    """Which rules are applied and what may stop an import; see `checks.policy`."""

    select: tuple[str, ...] = ()  # none: all
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, str] = field(default_factory=dict)  # rule to error, warning or note
    waivers: tuple[Waiver, ...] = ()
    fail_on: str = _choice("error", *FAIL_ON)


@dataclass(frozen=True, kw_only=True)
class HoleOptions(Options):
    """How far holes are believed; see `scan.scan`."""

    holes: str = _choice("auto", "trust", "verify", "auto")
    keep_cache: bool = False
    force_share: bool = False  # also an image that another program has open for writing

    def scanning(self, *, jobs: int | None = None, block_size: int | None = None) -> ScanOptions:
        """Return how a scan is made that believes holes so far."""
        return ScanOptions(
            holes=self.holes,
            keep_cache=self.keep_cache,
            force_share=self.force_share,
            jobs=jobs,
            block_size=block_size,
        )


@dataclass(frozen=True, kw_only=True)
class ReadOptions(HoleOptions):
    """How much of the machine a scan takes."""

    jobs: int | None = None  # processes that read; None: one a CPU, four at most


@dataclass(frozen=True, kw_only=True)
class ScanOptions(ReadOptions):
    """How to scan."""

    block_size: int | None = None  # bytes; None: the layout's, or 2 MiB


@dataclass(frozen=True, kw_only=True)
class BitmapOptions(ScanOptions):
    """How to make a bitmap."""

    output: StrPath | None = None  # None: the image's name with the suffix .mf
    layout: BitmapLayout | str = "zvhd2"  # or a file's name
    force: bool = False  # replace a file that imsprep did not make


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ScanOptions):
    """How to write a map for another tool; see `bitmap.export`."""

    format: str = _choice("bmap", "bmap", "qemu-map")
    output: StrPath | None = None  # None: the image's name with the format's suffix
    force: bool = False  # replace a file that is there


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(ReadOptions):
    """How to compare a bitmap with its image."""

    bitmap: StrPath | None = None  # None: the image's name with the suffix .mf
    layout: BitmapLayout | str | None = None  # None: the sidecar's, else zvhd2


@dataclass(frozen=True, kw_only=True)
class PackOptions(Options):
    """How blocks are compressed."""

    compression: str = _choice("zstd", "zstd", "zlib")
    level: int | None = None  # None: 3 for zstd, 1 for zlib


@dataclass(frozen=True, kw_only=True)
class DigestOptions(HoleOptions):
    """Which digest, and how it is computed."""

    sha256: bool = False  # the plain SHA-256 of the whole disk instead
    jobs: int | None = None  # threads; None: one a CPU


@dataclass(frozen=True, kw_only=True)
class SendOptions(Options):
    """How anything is sent into a bucket."""

    part_size: int = DEFAULT_PART_SIZE  # at most, as long as 10,000 parts are enough
    bytes_per_s: float | None = None  # of what travels; None: as fast as it goes
    retry_for_s: float = 900.0  # that nothing may work, in all
    kms_key: str | None = None  # encrypt with this key; "" is the service's default one


@dataclass(frozen=True, kw_only=True)
class TransferOptions(SendOptions):
    """How a file is brought into a bucket."""

    jobs: int = 4  # parts sent at the same time, and as many copied
    copy_zeros: bool = True  # copy zeros inside the store instead of sending them
    replace: bool = False  # also an object that imsprep did not make of this file


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(PackOptions, SendOptions, PlaceOptions):
    """How to convert; how to send and where to is for a target in a bucket."""

    to_format: str | None = _choice(None, None, "zvhd2", "raw")  # None: by the target's name
    from_format: str | None = None  # None: by the source's content
    disk: str | None = None  # of an OVA or OVF: its file, id or number; None: the system's
    block_size: int = 2 * MIB  # 1 to 32 MiB
    jobs: int | None = None  # threads; None: one a CPU
    uuid: bytes | None = None  # 16 bytes; None: random, or made of the content with a timestamp
    timestamp: int | None = None  # since 1970; None: SOURCE_DATE_EPOCH, or now
    holes: str = _choice("auto", "trust", "verify", "auto")
    force: bool = False  # replace a target that is there
    force_share: bool = False  # also a source that another program has open for writing
    ignore: tuple[str, ...] = ()  # rules that a ZVHD2 may fail: IMS313
    verify: str = _choice("full", "full", "none")  # each block of a ZVHD2, before it gets its name
    key: str | None = None  # of an object; None: the source's name with the suffix .zvhd2

    @property
    def proves_blocks(self) -> bool:
        """Return whether each block is read back, unpacked and compared."""
        return self.verify == "full"


@dataclass(frozen=True, kw_only=True)
class StoreOptions(PlaceOptions):
    """How to open a bucket."""

    kms_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class UploadOptions(TransferOptions, HoleOptions, PlaceOptions):
    """How to upload one file."""

    key: str | None = None  # None: the file's name
    force: bool = False  # also if the same object is there


@dataclass(frozen=True, kw_only=True)
class PollOptions(Options):
    """How to wait for a job."""

    timeout_s: float = 7200.0
    poll_s: float | None = None  # None: 10, and 0.2 for the emulator


@dataclass(frozen=True, kw_only=True)
class WaitOptions(ServiceOptions, PollOptions):
    """Which job to wait for, and how."""

    to: str | None = None  # local:DIR, for a job of the emulator over that folder


@dataclass(frozen=True, kw_only=True)
class CheckOptions(RequestOptions, ServiceOptions, RuleOptions, HoleOptions):
    """How closely to check an image, and against what."""

    scan: bool = False  # read all of it
    guest: bool = False  # look inside the file systems
    boot: bool = False  # start it in QEMU
    deep: bool = False  # unpack every block of a ZVHD2
    online: str | None = None  # ask this bucket and its region too
    jobs: int | None = None  # images checked at the same time; None: as many as CPUs
    reproducible: bool = False  # name images without their folders


@dataclass(frozen=True, kw_only=True)
class ImportOptions(
    RequestOptions,
    ServiceOptions,
    RuleOptions,
    TransferOptions,
    HoleOptions,
    PackOptions,
    PollOptions,
):
    """How to import an image; see docs/import.md for what each means."""

    to: str  # local:DIR, obs:BUCKET or obs:BUCKET/PREFIX
    key: str | None = None  # None: the file's name
    via: str = _choice("auto", "raw", "zvhd2", "auto")
    bandwidth: float | None = None  # bytes a second of the line, for the estimate; None: 100 Mbit/s
    work_dir: StrPath | None = None  # keep the container in this folder
    keep_container: StrPath | None = None  # keep it as this file; else it is packed while sent
    bitmap: StrPath | None = None  # made elsewhere: sent as it is
    layout: BitmapLayout | str | None = None  # of the bitmap; None: as the one there has it
    guest: bool = False  # check what lies inside the file systems too
    sha256: bool = False  # of the whole files, for the manifest, which has the disk's digest
    cleanup: str = _choice("keep", "keep", "success", "always")  # when to remove the objects
    boot: bool = False  # start it in QEMU before anything is sent

    def converting(self) -> ConvertOptions:
        """Return how the container of the import is made."""
        return ConvertOptions(
            holes=self.holes, part_size=self.part_size, force_share=self.force_share
        )


@dataclass(frozen=True, kw_only=True)
class InfoOptions(SiteOptions):
    """Whose smallest disk counts, and whether to look inside."""

    guest: bool = False  # how would it boot?
    firmware: str | None = _choice(None, None, "bios", "uefi")  # None: the image's own way


@dataclass(frozen=True, kw_only=True)
class BootOptions(Options):
    """How an image is started in QEMU, and for how long; see `trial.run`."""

    architecture: Architecture = field(default="x86", metadata={_CHOICES: ("x86", "arm")})
    # None: as the service has it; UEFI where nothing else starts the disk
    firmware: Firmware | None = field(default=None, metadata={_CHOICES: (None, "bios", "uefi")})
    memory: int = GIB
    cpus: int = 2
    limit_s: float = 300.0
    accelerator: str = _choice("auto", "auto", "kvm", "tcg")  # auto: KVM if it works
    wait_for_source: bool = True  # after the login, until cloud-init says which source it took
    settle_s: float = 3.0  # after a verdict, for the lines that follow it
    log: StrPath | None = None  # where the serial console's log is kept
    screenshot: StrPath | None = None  # where the last picture of the screen is kept, as PNG

    @property
    def by_uefi(self) -> bool:
        """Return whether the firmware is UEFI, which is the only one on Arm."""
        return self.firmware == "uefi" or self.architecture == "arm"


@dataclass(frozen=True, kw_only=True)
class BenchOptions(ReadOptions):
    """How much of this machine's scan is measured."""

    size: int = GIB  # bytes of each file that is made
    runs: int = 3  # how often each thing is measured


@dataclass(frozen=True, kw_only=True)
class EstimateOptions(ReadOptions):
    """How much of an image is sampled."""

    bandwidth: float | None = None  # bytes a second of the line; None: no upload is estimated
    runs: int = 3  # how often each thing is measured


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Options):
    """Which probe is written; see `bitmap.learn.probe`."""

    size: int | None = None  # bytes in whole sectors; None: 64 MiB
    kind: str = _choice("data", "data", "none", "all", "one")  # where data is
    force: bool = False  # replace a file that is there


@dataclass(frozen=True, kw_only=True)
class LearnOptions(ReadOptions):
    """How a layout is learned, and where it is saved."""

    output: StrPath | None = None  # None: the first bitmap's name with the suffix .layout.json


@dataclass(frozen=True, kw_only=True)
class LeftoverOptions(Options):
    """Where else is looked for what commands left that were killed."""

    work_dir: StrPath | None = "."  # folder of images or containers; None: only the bucket


@dataclass(frozen=True, kw_only=True)
class AbortOptions(LeftoverOptions):
    """Which uploads are aborted: those of one key, or everything; one of them has to be said."""

    key: str | None = None
    everything: bool = False  # those still running too


@dataclass(frozen=True, kw_only=True)
class OsVersionsOptions(PlaceOptions):
    """Whether a region is asked for its own list."""

    online: bool = False
    endpoint: str | None = None  # of the image service, instead of the site's
    api: str = _choice("v2", "v2", "v2.1")


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions(SiteOptions):
    """How the emulator behaves, and where it reads objects."""

    port: int = 0  # 0: any free one
    layout: str | None = None  # of the bitmaps: a name or a file's; None: zvhd2
    any_os_version: bool = False  # take values that the site does not list
    faults: tuple[str, ...] = ()  # NAME or NAME=VALUE; see `emulator.faults`
    s3: str | None = None  # address of a store from which objects are read; None: the folder
    s3_region: str = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class BatchOptions(Options):
    """How to work on a plan."""

    jobs: int | None = None  # images at a time; None: 4, or as many as the cluster takes
    skip_failing: bool = False  # go on with the others if the check refuses some
    dry_run: bool = False
    guest: bool = False  # check inside the file systems of every image, whatever the plan says
    boot: bool = False  # start every image first, whatever the plan says
    fail_on: str | None = _choice(None, None, *FAIL_ON)  # of every image; None: as the plan says
    scheduler: str | None = None  # address of a Dask cluster
    defaults: ImportOptions | None = None  # of images, where the plan says nothing
