"""The HTTP edge: bodies read strictly, errors as problem documents, one file a group of operations."""
