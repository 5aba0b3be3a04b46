"""What rules speak of: the disk, the guest, and the boot entry that starts; each known or not."""
