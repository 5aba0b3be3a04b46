"""Many images by a plan: entries, journal, executors, report."""
