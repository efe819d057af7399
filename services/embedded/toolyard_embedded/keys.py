"""The API key that an embedded process prints at each start: one that works, whatever became of folder and store."""

from pathlib import Path

from toolyard.clock import Clock
from toolyard.security import keyfile
from toolyard.store.base import KeyStore
from toolyard.telemetry.logs import logger
from toolyard_gateway.principals import FIRST_ORG, KeyText, check_given_key, key_row, new_key, read_key

_log = logger("embedded")


def working_key(keys: KeyStore, folder: Path, given: str | None, clock: Clock) -> str:
    """The text of an admin key of the first org: the operator's where it may be used, else the one of this folder.

    Raises:
        SettingsError: the operator's key is too short.
    """
    if given is not None:
        check_given_key(given)
        if not keys.any():
            _add(keys, read_key(given), clock)
        if _works(keys, given):
            return given
        _log.warning("TOOLYARD_API_KEY is not a key of this store, which has others already; using the kept one")
    return _kept_key(keys, folder / "key", clock)


def _kept_key(keys: KeyStore, file: Path, clock: Clock) -> str:
    text = keyfile.keep(file, new_key()[0])
    if keys.find(read_key(text).key_id) is None:
        _add(keys, read_key(text), clock)
    if not _works(keys, text):  # it was revoked: whoever owns the folder gets another
        file.unlink()
        text = keyfile.keep(file, new_key()[0])
        _add(keys, read_key(text), clock)
    return text


def _add(keys: KeyStore, kept: KeyText, clock: Clock) -> None:
    row = key_row(kept, org=FIRST_ORG, name="first key", roles=frozenset({"admin"}), at=clock.now())
    keys.add(row)


def _works(keys: KeyStore, text: str) -> bool:
    presented = read_key(text)
    row = keys.find(presented.key_id)
    return row is not None and row.revoked_at is None and row.secret_hash == presented.secret_hash
