"""Finding backends: sources see servers, finds make backends of them."""
