"""The command `imsprep`, also as `python -m imsprep`: prepare Python, then run the command line.

What stands here has to be done before click, or numpy, is imported.
"""

from __future__ import annotations

import gc
import os

_COLLECT_EVERY = 50_000  # new objects; at Python's 700, a start would collect 30 times, for nothing


def main() -> None:
    """Run the command line and end the process with the documented exit code."""
    gc.set_threshold(_COLLECT_EVERY)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's; they only wait, and busily
    from imsprep import cli

    cli.main()


if __name__ == "__main__":
    main()
