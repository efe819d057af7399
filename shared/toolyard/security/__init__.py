"""What keeps messages, secrets and connections safe: signatures, secret references, redaction, the egress policy."""
