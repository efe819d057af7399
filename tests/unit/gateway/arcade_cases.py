"""Definitions of arcade tools, as data: what is changed in a good one, the field that is named, and what is said."""

from typing import Any


def running(top: dict[str, Any] | None = None, /, **binding: Any) -> dict[str, Any]:
    """A good definition with these fields of its binding, and these of its own; ``...`` takes one away."""
    whole = {"type": "arcade", "tool_name": "Gmail.SendEmail"} | binding
    return {
        "name": "mail",
        "description": "Sends a mail.",
        "parameters": {"type": "object", "properties": {"to": {"type": "string"}}},
        "binding": {name: value for name, value in whole.items() if value is not ...},
    } | (top or {})


#: name -> the definition, the field that is named, a part of what is said
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no tool": (running(tool_name=...), "binding.tool_name", "is missing; give it"),
    "a tool that is a number": (running(tool_name=7), "binding.tool_name", "must be a text"),
    "a tool without a toolkit": (running(tool_name="SendEmail"), "binding.tool_name", "as in Gmail.SendEmail"),
    "a tool with its version": (running(tool_name="Gmail.SendEmail@1.2"), "binding.tool_name", "as in Gmail.SendEmail"),
    "a tool with a path": (running(tool_name="Gmail.Send/../x"), "binding.tool_name", "as in Gmail.SendEmail"),
    "a tool with a placeholder": (running(tool_name="Gmail.${arguments.to}"), "binding.tool_name", "as in Gmail."),
    "a tool with a line break": (running(tool_name="Gmail.SendEmail\n"), "binding.tool_name", "as in Gmail.SendEmail"),
    "an empty version": (running(tool_version=""), "binding.tool_version", "as in 1.2.3"),
    "a version that is a number": (running(tool_version=1), "binding.tool_version", "must be a text, not a number"),
    "a version that is a word too many": (running(tool_version="1.2 beta"), "binding.tool_version", "as in 1.2.3"),
    "a user": (running(user_id="ann"), "binding.user_id", "is not a field here"),
    "a key": (running(api_key="arc_x"), "binding.api_key", "is not a field here"),
    "a base URL": (running(base_url="https://x.example"), "binding.base_url", "is not a field here"),
    "a misspelt field": (running(tool_versoin="1"), "binding.tool_versoin", "did you mean tool_version?"),
    "a provider with a blank": (running(provider="g oogle"), "binding.provider", "as in google"),
    "scopes of nobody": (running(scopes=["mail.send"]), "binding.scopes", "name it as provider"),
    "a scope with a blank": (running(provider="google", scopes=["a b"]), "binding.scopes.0", "without blanks"),
    "scopes that are a text": (running(provider="google", scopes="a"), "binding.scopes", "must be a list"),
}

#: name -> a definition that is kept
ACCEPTED: dict[str, dict[str, Any]] = {
    "a tool": running(),
    "a tool in a version": running(tool_version="1.2.3-rc.1+build_7"),
    "a tool with scopes": running(
        tool_version="2", provider="google", scopes=["https://www.googleapis.com/auth/gmail.send", "openid"]
    ),
    "a tool of a server with other names": running(tool_name="my-server.do_it-2"),
    "the key, listed": running({"secrets": ["ARCADE_API_KEY"]}),
    "a secret, for its other way": running(
        {
            "secrets": ["TOKEN"],
            "fallback": {
                "type": "http",
                "method": "POST",
                "url": "https://api.example.com/mails",
                "authentication": {"type": "bearer", "secret": "TOKEN"},
            },
        }
    ),
    "a context": running({"contexts": ["tenant"]}),
}
