"""Formats of other programs, read through QEMU after proof that the file is whole."""
