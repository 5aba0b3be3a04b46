"""Where imsprep is described, for reports that lead their reader there.

None until there is a public address: no report then names one. A release puts it here and as
`Homepage` into pyproject.toml (docs/releasing.md).
"""

HOME: str | None = None  # an absolute URI below which the folder docs/ is found
