"""A disk inside another file: an exported machine (OVA, OVF), or a compressed stream."""
