"""The rules of the boot, in its order: loader, root, drivers, mounts. Begin with `loader`."""
