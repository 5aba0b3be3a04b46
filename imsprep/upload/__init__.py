"""Bring a file into a store by parts: plan, transfer, resume. Begin with `transfer`."""

from imsprep.callable_package import make_callable

make_callable(__name__)  # imsprep.upload(...) is a function of the front door
