"""What is about imsprep and the machine: doctor, config, bench. Begin with `demo`."""
