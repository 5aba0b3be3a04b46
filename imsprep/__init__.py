"""imsprep: bring a disk image into Huawei Cloud IMS by quick import, without surprises.

    import imsprep

    report = imsprep.check("disk.raw", name="web01", min_disk=40)
    imsprep.make_bitmap("disk.raw")

`__all__` names what is public; docs/python.md shows each. A name is loaded when it is first used,
the functions from `api`.
"""

from __future__ import annotations

# Nothing is imported here, `typing` neither: until `__main__` listens, Ctrl-C is a traceback.
TYPE_CHECKING = False

__version__ = "0.1.0"

# Each public name, by the module that has it.
_PLACES = {
    "imsprep.api": (
        "abort_uploads", "bench", "boot_image", "check", "check_images", "convert",
        "digest", "estimate", "export_map", "find_leftovers", "import_batch", "import_image",
        "info", "learn_layout", "make_bitmap", "open_store", "os_versions", "plan_all_disks",
        "plan_import", "plan_upload", "rules", "scan", "serve_emulator", "upload",
        "verify_bitmap", "wait", "write_probe",
    ),
    "imsprep.bitmap.export": ("Exported",),
    "imsprep.bitmap.verify": ("Proof",),
    "imsprep.bitmap.write": ("Made",),
    "imsprep.bitmap.layout": ("BitmapLayout",),
    "imsprep.checks.policy": ("Waiver",),
    "imsprep.checks.reporters": ("Failure", "Run"),
    "imsprep.errors": (
        "ContentError", "FindingsError", "FormatError", "ImageChangedError", "ImsprepError",
        "JobFailedError", "MissingExtraError", "ReadError", "ServiceError", "TransferError",
        "UncertainError", "UsageError", "WaitTimeoutError",
    ),
    "imsprep.image.blockmap": ("BlockMap", "Extent"),
    "imsprep.ims.job": ("JobStatus",),
    "imsprep.options": ("BatchOptions", "CheckOptions", "ImportOptions"),
    "imsprep.pipeline.container.convert_object": ("ConvertedObject",),
    "imsprep.pipeline.info": ("Summary",),
    "imsprep.pipeline.values": ("Imported", "Prepared"),
    "imsprep.progress": ("Event", "Progress"),
    "imsprep.report": ("Finding", "Report", "Severity", "Skipped"),
    "imsprep.scan.scan": ("Scan",),
    "imsprep.store.target": ("Bucket",),
    "imsprep.upload.plan": ("PartPlan",),
    "imsprep.upload.values": ("Uploaded",),
    "imsprep.zvhd2.convert": ("Converted",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}
_PACKAGES = ("scan", "upload")  # that can be called; see `callable_package`

if TYPE_CHECKING:
    from imsprep.api import (
        abort_uploads,
        bench,
        boot_image,
        check,
        check_images,
        convert,
        digest,
        estimate,
        export_map,
        find_leftovers,
        import_batch,
        import_image,
        info,
        learn_layout,
        make_bitmap,
        open_store,
        os_versions,
        plan_all_disks,
        plan_import,
        plan_upload,
        rules,
        scan,
        serve_emulator,
        upload,
        verify_bitmap,
        wait,
        write_probe,
    )
    from imsprep.bitmap.export import Exported
    from imsprep.bitmap.layout import BitmapLayout
    from imsprep.bitmap.verify import Proof
    from imsprep.bitmap.write import Made
    from imsprep.checks.policy import Waiver
    from imsprep.checks.reporters import Failure, Run
    from imsprep.errors import (
        ContentError,
        FindingsError,
        FormatError,
        ImageChangedError,
        ImsprepError,
        JobFailedError,
        MissingExtraError,
        ReadError,
        ServiceError,
        TransferError,
        UncertainError,
        UsageError,
        WaitTimeoutError,
    )
    from imsprep.image.blockmap import BlockMap, Extent
    from imsprep.ims.job import JobStatus
    from imsprep.options import BatchOptions, CheckOptions, ImportOptions
    from imsprep.pipeline.container.convert_object import ConvertedObject
    from imsprep.pipeline.info import Summary
    from imsprep.pipeline.values import Imported, Prepared
    from imsprep.progress import Event, Progress
    from imsprep.report import Finding, Report, Severity, Skipped
    from imsprep.scan.scan import Scan
    from imsprep.store.target import Bucket
    from imsprep.upload.plan import PartPlan
    from imsprep.upload.values import Uploaded
    from imsprep.zvhd2.convert import Converted

__all__ = [
    "BatchOptions",
    "BitmapLayout",
    "BlockMap",
    "Bucket",
    "CheckOptions",
    "ContentError",
    "Converted",
    "ConvertedObject",
    "Event",
    "Exported",
    "Extent",
    "Failure",
    "Finding",
    "FindingsError",
    "FormatError",
    "ImageChangedError",
    "ImportOptions",
    "Imported",
    "ImsprepError",
    "JobFailedError",
    "JobStatus",
    "Made",
    "MissingExtraError",
    "PartPlan",
    "Prepared",
    "Progress",
    "Proof",
    "ReadError",
    "Report",
    "Run",
    "Scan",
    "ServiceError",
    "Severity",
    "Skipped",
    "Summary",
    "TransferError",
    "UncertainError",
    "Uploaded",
    "UsageError",
    "WaitTimeoutError",
    "Waiver",
    "__version__",
    "abort_uploads",
    "bench",
    "boot_image",
    "check",
    "check_images",
    "convert",
    "digest",
    "estimate",
    "export_map",
    "find_leftovers",
    "import_batch",
    "import_image",
    "info",
    "learn_layout",
    "make_bitmap",
    "open_store",
    "os_versions",
    "plan_all_disks",
    "plan_import",
    "plan_upload",
    "rules",
    "scan",
    "serve_emulator",
    "upload",
    "verify_bitmap",
    "wait",
    "write_probe",
]


def __getattr__(name: str) -> object:
    """Load a public name; see PEP 562."""
    import importlib

    if name in _PACKAGES:
        return importlib.import_module(f"imsprep.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'imsprep' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
