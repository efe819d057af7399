"""Names that Arcade gives, as far as a definition may hold them, and where it is. Data."""

from typing import Final

#: Where Arcade is, if the operator does not say otherwise.
ARCADE_URL: Final = "https://api.arcade.dev"
#: ``Toolkit.Tool``.
TOOL: Final = r"^[A-Za-z][A-Za-z0-9_-]{0,63}\.[A-Za-z][A-Za-z0-9_-]{0,127}$"
#: Of a toolkit, as its author counts.
VERSION: Final = r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$"
#: Who asks users for their consent; and for what: any text without blanks, often a URL.
PROVIDER: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SCOPE: Final = r"^[\x21-\x7e]{1,128}$"
