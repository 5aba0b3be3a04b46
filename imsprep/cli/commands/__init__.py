"""One module a command, named as it is with `_` for `-`; a folder for each section of the help."""
