"""The scheduler: the ledger of what happened, and everything that has to do with time."""
