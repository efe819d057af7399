"""Keys that a development machine makes for itself: one file each, readable by its owner alone."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from toolyard.errors import SettingsError
from toolyard.security.keys import SEALING_KEY_BYTES, SecretKeys
from toolyard.security.signing import MIN_KEY_BYTES, Keyring

T = TypeVar("T")


def keep(path: Path, make: str) -> str:
    """The text of a key file, which is made with the given text where there is none.

    Two processes that begin at once agree: whoever creates the file first wins.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(make)
    try:
        os.link(draft, path)  # fails where the file is already there, and is whole at once where it is not
    except FileExistsError:
        return path.read_text().strip()
    finally:
        draft.unlink()
    return make


def local_keyring(folder: Path) -> Keyring:
    """The signing key of this folder, for `dev` and the embedded transport.

    Raises:
        SettingsError: the file cannot be used; names it and what to do, and holds no key.
    """
    return _local(
        folder / "signing",
        Keyring.parse,
        what="signing key",
        variable="TOOLYARD_SIGNING_KEYS",
        size=f"at least {MIN_KEY_BYTES} bytes",
        remedy="restore it from a copy, or remove it and a new key is made, with which messages that still wait do "
        "not verify",
    )


def local_secret_keys(folder: Path) -> SecretKeys:
    """The key of this folder that secrets are sealed with; raises as `local_keyring` does."""
    return _local(
        folder / "secrets-key",
        SecretKeys.parse,
        what="key of secrets",
        variable="TOOLYARD_SECRETS_KEY",
        size=f"{SEALING_KEY_BYTES} bytes",
        remedy="restore it from a copy; without it secrets that are kept cannot be opened, and must be set anew",
    )


def _local(path: Path, parse: Callable[[str], T], *, what: str, variable: str, size: str, remedy: str) -> T:
    try:
        return parse(keep(path, f"local:{secrets.token_hex(MIN_KEY_BYTES)}"))
    except UnicodeDecodeError:
        problem = "it is no text"
    except ValueError:  # its words may quote what stands in the file
        problem = f"it is not of the form id:hex with a key of {size}"
    except OSError as error:
        raise SettingsError(
            f"the file of the {what} {path} cannot be used: {error.strerror}; {variable} would be in its place"
        ) from None
    raise SettingsError(f"the file of the {what} {path} is damaged: {problem}; {remedy}")
