"""What the end-to-end tests stand on: the server as a process, an origin that can misbehave, clips, and HTTP by hand."""
