"""An exported machine (OVA): its `proposal` for an import, then a batch of `all_disks`."""
