"""What was probably meant by a command that there is not: another word for it, or one of a group without its group."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from typer.core import TyperGroup

#: What other tools call it -> what it may be here.
_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("show", "get", "describe", "view", "cat", "inspect"), ("get", "show")),
    **dict.fromkeys(("ls", "all"), ("list",)),
    **dict.fromkeys(("rm", "remove", "del", "drop"), ("delete", "revoke")),
    **dict.fromkeys(("add", "new", "make"), ("create",)),
    **dict.fromkeys(("edit", "change", "set", "replace"), ("update",)),
    **dict.fromkeys(("check", "lint"), ("validate", "doctor")),
    **dict.fromkeys(("run", "invoke", "exec", "execute", "try"), ("call", "test")),
    **dict.fromkeys(("start", "up", "serve"), ("dev",)),
    **dict.fromkeys(("stop", "abort", "kill"), ("cancel", "pause")),
    **dict.fromkeys(("unpause", "continue"), ("resume",)),
    **dict.fromkeys(("import", "sync", "push", "deploy"), ("apply",)),
    **dict.fromkeys(("dump", "pull", "save"), ("export",)),
    **dict.fromkeys(("follow", "watch", "logs"), ("tail",)),
    **dict.fromkeys(("status", "health"), ("doctor",)),
}


class Group(TyperGroup):
    """A group of commands that knows other words for its own."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the first word names; a word that is none is an error that names what it may mean."""
        word = args[0]
        if word not in self.commands and (meant := list(self._meant(word))):
            told = _listed(f"{ctx.command_path} {each}" for each in meant)
            ctx.fail(f"No such command {word!r}. Did you mean {told}?")
        return super().resolve_command(ctx, args)

    def _meant(self, word: str) -> Iterator[str]:
        yield from (each for each in _SYNONYMS.get(word, ()) if each in self.commands)


class Root(Group):
    """The whole: knows what is meant by a command of a group that is given without its group, too."""

    def _meant(self, word: str) -> Iterator[str]:
        own = list(super()._meant(word)) or self._in_groups(word)
        yield from own or (each for other in _SYNONYMS.get(word, ()) for each in self._in_groups(other))

    def _in_groups(self, word: str) -> list[str]:
        groups = self.commands.items()
        return [f"{name} {word}" for name, group in groups if word in getattr(group, "commands", ())]


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
