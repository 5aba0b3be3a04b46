"""What is known of the clouds before any is asked: hosts, credentials. Begin with `sites`."""
