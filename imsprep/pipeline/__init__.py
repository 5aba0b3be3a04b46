"""The whole way: prepare, send, import, and what is kept of it. Begin with `ship`."""
