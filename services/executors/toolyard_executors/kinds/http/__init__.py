"""The http kind: one request to an upstream for each attempt."""

from toolyard_executors.kinds.http.executor import HttpExecutor

__all__ = ["HttpExecutor"]
