"""Tables: what an image in another program's format says of itself, read before QEMU sees it.

QEMU reads zeros where a file has ended, and takes a damaged number for a right one. So each format
has a module here that reads the tables from the file's own bytes: whether they hold together, and
what part of the file they name (`survey`). The modules take `read` and a size, and do no I/O of
their own. `bochs` is a short one.
"""
