"""How messages get from one part to another: one seam, two transports."""
