"""The operating system, one fact a module: locks, mounts, threads. Begin with `atomic`."""
