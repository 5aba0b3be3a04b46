"""What lies on a disk: partitions, file systems' first records. Begin with `partitions`."""
