"""Bring images in: check, import, batch, wait, boot, info; a module a command."""
