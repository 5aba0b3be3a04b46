"""File systems and volumes inside an image, read without mounting. Begin with `interface`."""
