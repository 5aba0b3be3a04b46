"""The disk image: its file and format, the disk inside, partitions. Begin with `file`."""
