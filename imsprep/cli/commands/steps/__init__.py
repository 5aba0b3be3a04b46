"""One step by itself: convert, digest, bitmap, verify, upload, uploads; a module a command."""
