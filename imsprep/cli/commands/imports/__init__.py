"""Bring images in: check, import, batch, wait, boot, info. Begin with `import_`."""
