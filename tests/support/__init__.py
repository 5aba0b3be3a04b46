"""What tests share, sorted as `imsprep/` is: what makes guests in `guest/`, stores in `store/`.

What all tests use is here: `running` runs a command or skips, `paths` knows where files are, `house`
watches over the pure modules. Test files import from here alone, never from one another.
"""
