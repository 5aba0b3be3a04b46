"""Find the blocks that hold data: holes, probes, readers, and how fast this machine does it."""
