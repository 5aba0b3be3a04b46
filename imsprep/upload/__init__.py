"""Bring a file into a store by parts: plan, transfer, resume, verify, clean up."""
