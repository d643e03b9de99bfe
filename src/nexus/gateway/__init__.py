"""The request path: parse, decide, lease, call, relay."""
