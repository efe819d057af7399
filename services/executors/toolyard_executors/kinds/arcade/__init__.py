"""The arcade kind: one execution of a tool of Arcade for each attempt, once its user has consented."""

from toolyard_executors.kinds.arcade.executor import ArcadeExecutor

__all__ = ["ArcadeExecutor"]
