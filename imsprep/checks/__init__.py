"""The rules: one module per subject, one registry (`rule`)."""
