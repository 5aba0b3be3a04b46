"""The command `imsprep`, also as `python -m imsprep`: prepare Python, then run the command line.

What stands here has to be done before click, or numpy, is imported. `_signal` is what `signal`
wraps; it is built in, and so is there before Ctrl-C can come.
"""

import _signal  # type: ignore[import-not-found]  # built in, without a stub
import gc
import os

_INTERRUPTED = 130  # the exit code of `cli`, which is not loaded yet
_COLLECT_EVERY = 50_000  # new objects; at Python's 700, a start would collect 30 times, for nothing


def main() -> None:
    """Run the command line and end the process with the documented exit code."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else it is ignored
        _signal.signal(_signal.SIGINT, _stop)
    gc.set_threshold(_COLLECT_EVERY)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's; they only wait, and busily
    from imsprep import cli

    cli.main()


def _stop(signum: int, frame: object) -> None:
    """End at once: while modules are loaded there is nothing to tidy up."""
    os.write(2, b"imsprep: interrupted\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
