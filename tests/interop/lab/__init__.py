"""What the interop lab is made of: a folder with the real programs, the servers and clients in it, what came out."""
