"""One step by itself: convert, digest, bitmap, verify, upload. Begin with `bitmap`."""
