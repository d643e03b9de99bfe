"""Background work that keeps the registry true."""
