"""The embedded try-out: real llama.cpp servers in processes of their own."""
