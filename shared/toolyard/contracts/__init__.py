"""What travels between the parts: frozen msgspec structs and their bytes. No I/O, no framework."""
