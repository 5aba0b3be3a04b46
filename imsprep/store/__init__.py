"""Object stores: one contract, a folder and OBS behind it."""
