"""One module a command, a folder a section of the help. Begin with `imports/check`."""
