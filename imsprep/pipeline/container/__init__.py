"""A ZVHD2 made on the way: `kept` as a file, `streamed` while it is sent. Begin with `kept`."""
