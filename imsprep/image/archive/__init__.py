"""A disk in another file: an exported machine, or a compressed one. Begin with `ova`."""
