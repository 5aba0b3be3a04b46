"""The rules, one module a subject; `registry.all_rules` imports them all. Begin with `file`."""
