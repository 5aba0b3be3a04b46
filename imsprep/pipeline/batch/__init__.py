"""Many images by a plan: entries, journal, executors, report. Begin with `run`."""
