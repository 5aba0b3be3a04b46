"""Object stores: one `contract`, with a folder and OBS behind it. Begin with `contract`."""
