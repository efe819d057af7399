"""The workers: one runtime, and one kind of executor for each pool."""
