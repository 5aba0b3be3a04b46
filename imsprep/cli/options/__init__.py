"""Options that several commands share, a module a subject. Begin with `common`."""
