"""ZVHD2 containers: records, codec, reading, writing, proving. Begin with `records`."""
