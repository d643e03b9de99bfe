"""The OpenAI wire, sans-I/O: bodies, event streams, error bodies, headers."""
