"""`python -m imsprep`: the same as the command `imsprep`."""

from imsprep.cli import main

if __name__ == "__main__":
    main()
