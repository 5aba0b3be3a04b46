"""The check: facts are gathered, rules applied, the report written. Begin with `check`."""
