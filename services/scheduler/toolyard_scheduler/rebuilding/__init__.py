"""A fresh ledger from the log: `toolyard ledger`. Nothing of it is used while a scheduler runs."""
