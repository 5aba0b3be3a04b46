"""Formats of other programs, read by QEMU once they are proved whole. Begin with `nbd_disk`."""
