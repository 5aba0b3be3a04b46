"""What rules speak of, known or not: the boot entry that starts, the guest, the `disk`."""
