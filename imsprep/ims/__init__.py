"""The Image Management Service: its API, requests, jobs and error codes."""
