"""The Image Management Service: requests, jobs, error codes. Begin with `client`, then `submit`."""
