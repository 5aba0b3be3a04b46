"""How fast this machine scans: on `synthetic` files, or an `estimate` for one image."""
