"""The parts of an upload: sent or copied, and compared with the plan. Begin with `send`."""
