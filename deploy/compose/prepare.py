"""Makes what the parts in compose.yaml sign in with, in deploy/compose/secrets: `make up` runs it first.

It is made once, and what is there stays as it is: with other keys, what is kept could not be opened. A part gets a file
of variables with what it needs and no more; the broker gets its topology, with a user for each part.
"""  # noqa: INP001 - a program, not a package

import json
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from toolyard.cli import broker_users, kubernetes_secrets, topology

FOLDER: Final = Path(__file__).parent / "secrets"
#: Where the broker is for the parts, its vhost, and what the names of its users begin with.
BROKER: Final = "rabbitmq:5672"
VHOST, PREFIX = "toolyard", "toolyard-"
#: What others than the owner may read: the broker's own user reads it, and passwords are hashed in it.
_SHARED: Final = 0o644


def files() -> dict[str, str]:
    """Fresh files, by their names."""
    of_us, of_root = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    database = f"postgresql://toolyard:{of_us}@postgres:5432/toolyard"
    name = f"{datetime.now(UTC):%Y-%m}"
    made = kubernetes_secrets.objects(name, "", f"{BROKER}/{VHOST}", database)
    values = {secret["metadata"]["name"].removeprefix(PREFIX): secret["stringData"] for secret in made}
    users = {part.removesuffix("-broker"): found["password"] for part, found in values.items() if "password" in found}
    return {
        **{f"{part}.env": _variables(found) for part, found in values.items() if "password" not in found},
        "postgres.env": _variables({"POSTGRES_PASSWORD": of_root, "TOOLYARD_DATABASE_PASSWORD": of_us}),
        "definitions.json": json.dumps(_definitions(users), indent=1) + "\n",
        "api-key": values["gateway"]["TOOLYARD_API_KEY"] + "\n",
    }


def _definitions(passwords: dict[str, str]) -> dict[str, Any]:
    by_variable = {broker_users.variable(part): password for part, password in passwords.items()}
    return {
        "vhosts": [{"name": VHOST}],
        **topology.definitions(VHOST),
        **broker_users.definitions(VHOST, PREFIX, by_variable),
    }


def _variables(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def prepare(folder: Path) -> bool:
    """Make the folder, whole or not at all, unless it is there; whether it was made."""
    if folder.exists():
        return False
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as draft:
        for name, text in files().items():
            file = Path(draft, "made", name)
            file.parent.mkdir(mode=0o700, exist_ok=True)
            file.touch(mode=_SHARED if name == "definitions.json" else 0o600)
            file.write_text(text)
        Path(draft, "made").rename(folder)
    return True


if __name__ == "__main__":
    into = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    if prepare(into):
        print(f"Made passwords and keys in {into}; the admin's key is in {into / 'api-key'}", file=sys.stderr)
