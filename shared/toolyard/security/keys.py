"""Keys as operators write them, ``id:hex,id:hex``, and the keys that seal secrets at rest. It seals nothing itself.

Of several the first one is used for what is new, all of them for what is there: so a key is changed without a pause.
"""

from collections.abc import Mapping
from typing import Final

from toolyard.errors import SecretUnreadable

#: Bytes of a key that seals secrets: AES-256.
SEALING_KEY_BYTES: Final = 32
#: Characters of a key's id, which is kept beside what it sealed.
_MAX_ID: Final = 64


def read_keys(text: str) -> dict[str, bytes]:
    """The keys of ``id:hex,id:hex``, in their order.

    Raises:
        ValueError: not of that form; the text of the error holds no key.
    """
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(text.split(","), start=1):
        key_id, colon, digits = entry.strip().partition(":")
        if not colon or not key_id:
            raise ValueError(f"entry {number} is not of the form id:hex")
        if key_id in keys:
            raise ValueError(f"the key id {key_id!r} stands there twice")
        try:
            keys[key_id] = bytes.fromhex(digits)
        except ValueError:
            raise ValueError(f"the key {key_id!r} is not written in hex digits") from None
    return keys


class SecretKeys:
    """The keys that seal secrets, by id: the first one seals, all open.

    Args:
        keys: key id -> key of exactly 32 bytes, in order.

    Raises:
        ValueError: no key, or one of another length; names it by its id.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        for key_id, key in keys.items():
            if len(key_id) > _MAX_ID:
                raise ValueError(f"the key id {key_id[:_MAX_ID]!r}… is longer than {_MAX_ID} characters")
            if len(key) != SEALING_KEY_BYTES:
                raise ValueError(f"the key {key_id!r} has {len(key)} bytes; exactly {SEALING_KEY_BYTES} are needed")
        self._keys = dict(keys)
        self.first = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "SecretKeys":
        """The keys of ``id:hex,id:hex``.

        Raises:
            ValueError: not of that form; the text of the error holds no key.
        """
        return cls(read_keys(text))

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def get(self, key_id: str) -> bytes:
        """The key of this id.

        Raises:
            SecretUnreadable: it is not here.
        """
        try:
            return self._keys[key_id]
        except KeyError:
            raise SecretUnreadable(
                f"it was sealed with the key {key_id[:_MAX_ID]!r}, which this process does not have: put that key "
                "behind the first one of TOOLYARD_SECRETS_KEY"
            ) from None
