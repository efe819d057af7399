"""What is kept: tools, keys, and the ledger's projection of the log. SQLAlchemy lives here and nowhere else."""
