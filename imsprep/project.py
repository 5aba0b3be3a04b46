"""Where imsprep is described, for reports that lead their reader there.

There is no public address yet: `example.com` is reserved by RFC 2606 and leads to no project. A
release puts the real one here and in pyproject.toml (docs/releasing.md).
"""

HOME = "https://example.com/imsprep"
