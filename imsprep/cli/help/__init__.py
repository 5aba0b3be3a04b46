"""Help texts in `sections`, and what a shell offers for options' values, in `completion`."""
