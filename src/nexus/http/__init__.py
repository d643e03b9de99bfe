"""HTTP/1.1 on llhttp, both sides: server connection, client connection, pool, limits."""
