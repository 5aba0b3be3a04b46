"""Formats of other programs, read through QEMU once they are proved whole. Begin with `nbd_disk`."""
