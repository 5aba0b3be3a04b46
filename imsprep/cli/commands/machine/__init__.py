"""What is about imsprep and the machine: doctor, config, bench, demo, emulator, man and others."""
