"""How a machine would start the image: firmware, loader, menu, entry. Begin with `routes`."""
