"""What the operator says: the TOML schema, loading and precedence."""
