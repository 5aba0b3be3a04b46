"""An exported machine (OVA): its `proposal` for an import, and a batch of `all_disks`."""
