"""What the system tests are made of: certificates, the server as a process, raw clients, next hops."""
