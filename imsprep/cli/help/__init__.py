"""Help texts in sections, and what a shell offers for the values of options."""
