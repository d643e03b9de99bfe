"""The one mutable owner of backends, leases and live statistics."""
