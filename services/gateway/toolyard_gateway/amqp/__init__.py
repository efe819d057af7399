"""The front of the queue `toolyard.requests`: what others publish comes in here, and goes through the one door."""
