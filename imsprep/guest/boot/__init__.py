"""How a machine would start the image: firmware, loader, menu, and the entry that starts."""
