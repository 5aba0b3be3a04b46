"""What a Windows guest's registry says. Begin with `registry`."""
