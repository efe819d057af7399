"""The sandbox kind: the author's Python function, in a locked process of its own for each attempt."""

from toolyard_executors.kinds.sandbox.executor import SandboxExecutor

__all__ = ["SandboxExecutor"]
