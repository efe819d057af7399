"""How executors reach the world, whatever their kind: connections to checked addresses, and what comes back."""
