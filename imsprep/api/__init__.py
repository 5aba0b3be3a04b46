"""The front door: each thing that imsprep does as one function; `import imsprep` gives them all.

A function takes paths as `str` or `os.PathLike` and the fields of its options class as keywords
(see `imsprep.options`, where every default stands). What goes wrong is raised, as a class of
`imsprep.errors`; values come back from where they are made. All progress goes to one function, the
`progress` of every call (see `imsprep.progress`). Nothing here prints.

Modules are loaded by the function that needs them, so that making a bitmap loads no rules. The
command line is a client of these functions; those that `imsprep` does not name are halves of others
for one who shows what lies between.
"""

from __future__ import annotations

from imsprep.api.batches import import_batch, read_plan, run_batch
from imsprep.api.bitmaps import export_map, make_bitmap, scan, verify_bitmap
from imsprep.api.converting import convert
from imsprep.api.images import check, check_images, digest, info
from imsprep.api.imports import (
    import_image,
    plan_import,
    prepare_import,
    ship_import,
    wait,
    wait_for_job,
)
from imsprep.api.stores import Bucket, open_store, plan_upload, upload

__all__ = [
    "Bucket", "check", "check_images", "convert", "digest", "export_map", "import_batch",
    "import_image", "info", "make_bitmap", "open_store", "plan_import", "plan_upload",
    "prepare_import", "read_plan", "run_batch", "scan", "ship_import", "upload", "verify_bitmap",
    "wait", "wait_for_job",
]  # fmt: skip
