"""Facts: all that is known of one image and its request, gathered before any rule runs.

Rules are pure functions of this value. A member that is None was not gathered; a rule that needs
it raises Unknown with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imsprep.request import QuickImportRequest

if TYPE_CHECKING:
    from imsprep.guest.model import Guest


@dataclass(frozen=True)
class Facts:
    """What the rules may look at."""

    name: str  # the image's file name, for messages
    file_size: int  # bytes
    request: QuickImportRequest | None = None
    guest: Guest | None = None  # what is inside; None unless --guest asked for it
