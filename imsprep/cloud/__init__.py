"""What is known of the clouds before any is asked: sites, host names, credentials."""
