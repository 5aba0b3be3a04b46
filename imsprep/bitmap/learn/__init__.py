"""Learn a bitmap's layout from files that the vendor's tool made. Begin with `search`."""
