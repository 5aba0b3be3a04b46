"""The operating system, one fact a module: atomic files, locks, holes, mounts, threads, memory."""
