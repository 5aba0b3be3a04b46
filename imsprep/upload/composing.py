"""An assembled part: zeros and a little data, of which only the data is sent.

A part has 5 MiB at least, but the last one of an object may be shorter. So an object of its own is
made, of a copy of zeros and the data as its last part; that object is copied as the part. It is
removed with the zero object, by whose name it is known.
"""

from __future__ import annotations

from io import BufferedReader

from imsprep.errors import ServiceError
from imsprep.store.contract import Part
from imsprep.store.retry import RetryingStore
from imsprep.upload.complete import complete
from imsprep.upload.plan import PlannedPart


def compose(
    store: RetryingStore,
    key: str,
    upload_id: str,
    part: PlannedPart,
    zero_key: str,
    data: bytes | BufferedReader,
) -> str | None:
    """Make a part of zeros and `data`; return its etag, or None if the store refuses.

    The etag is the MD5 of the whole part, or the part is to be sent as it is: nothing else proves
    data that was copied.
    """
    helper = f"{zero_key}-{part.number}"
    try:
        made_by = store.create(helper, {})
        zeros = store.copy_part(helper, made_by, 1, zero_key, 0, part.zeros)
        rest = store.upload_part(helper, made_by, 2, data)
        parts = [Part(1, part.zeros, zeros), Part(2, part.sent, rest)]
        complete(store, helper, made_by, parts, is_ours=lambda found: found.size == part.length)
        return store.copy_part(key, upload_id, part.number, helper, 0, part.length)
    except ServiceError:
        return None
