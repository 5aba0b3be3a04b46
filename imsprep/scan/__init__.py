"""Find the blocks that hold data: holes, probes, reader processes. Begin with `scan`."""

from imsprep.callable_package import make_callable

make_callable(__name__)  # imsprep.scan(...) is a function of the front door
