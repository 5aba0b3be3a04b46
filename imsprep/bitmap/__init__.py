"""The bitmap file of a RAW image: `write`, `verify`, `export`, by a layout. Begin with `write`."""
