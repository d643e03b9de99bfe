"""A public fake fleet that speaks the real wire of every backend type."""
