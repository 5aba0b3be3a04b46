"""The front door: each thing that imsprep does as one function; `import imsprep` gives them all.

A function takes paths as `str` or `os.PathLike` and the fields of its options class as keywords
(see `imsprep.options`, where every default stands). What goes wrong is raised, as a class of
`imsprep.errors`; values come back from where they are made. All progress goes to one function, the
`progress` of every call (see `imsprep.progress`). Nothing here prints.

Modules are loaded by the function that needs them, so that making a bitmap loads no rules. The
command line is a client of these functions; those that `imsprep` does not name are halves of others
for one who shows what lies between. Begin with `imports`.
"""

from __future__ import annotations

from imsprep.api.batches import import_batch, journal_of, read_plan, run_batch
from imsprep.api.bitmaps import (
    export_map,
    learn_layout,
    make_bitmap,
    scan,
    verify_bitmap,
    write_probe,
)
from imsprep.api.converting import convert, source_formats
from imsprep.api.images import (
    bench,
    boot_image,
    check,
    check_images,
    differ_in_size_alone,
    digest,
    disk_digest,
    estimate,
    image_suffixes,
    images_in,
    info,
    rules,
)
from imsprep.api.imports import (
    import_image,
    missing_of,
    open_for_import,
    plan_all_disks,
    plan_import,
    prepare_import,
    sent_in_all,
    ship_import,
    wait,
    wait_for_job,
)
from imsprep.api.machine import (
    claimed_demo,
    hide_keys,
    kept_files,
    look_at_machine,
    make_demo_disk,
)
from imsprep.api.services import Emulator, emulated_disk, os_versions, serve_emulator
from imsprep.api.stores import (
    abort_uploads,
    ask_bucket,
    find_leftovers,
    open_store,
    plan_upload,
    upload,
)

__all__ = [
    "Emulator",
    "abort_uploads",
    "ask_bucket",
    "bench",
    "boot_image",
    "check",
    "check_images",
    "claimed_demo",
    "convert",
    "differ_in_size_alone",
    "digest",
    "disk_digest",
    "emulated_disk",
    "estimate",
    "export_map",
    "find_leftovers",
    "hide_keys",
    "image_suffixes",
    "images_in",
    "import_batch",
    "import_image",
    "info",
    "journal_of",
    "kept_files",
    "learn_layout",
    "look_at_machine",
    "make_bitmap",
    "make_demo_disk",
    "missing_of",
    "open_for_import",
    "open_store",
    "os_versions",
    "plan_all_disks",
    "plan_import",
    "plan_upload",
    "prepare_import",
    "read_plan",
    "rules",
    "run_batch",
    "scan",
    "sent_in_all",
    "serve_emulator",
    "ship_import",
    "source_formats",
    "upload",
    "verify_bitmap",
    "wait",
    "wait_for_job",
    "write_probe",
]
