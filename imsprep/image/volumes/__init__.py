"""What lies on a disk: its partitions, and the file systems in them by their first records."""
