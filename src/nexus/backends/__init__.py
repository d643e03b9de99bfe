"""One file for each backend type: only what differs."""
