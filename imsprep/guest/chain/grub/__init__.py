"""GRUB 2 followed: what is built in, its script, and the entry that starts. Begin with `script`."""
