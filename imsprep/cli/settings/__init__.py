"""What imsprep.toml and IMSPREP_* say: read in `layers`, given to options in `defaults`."""
