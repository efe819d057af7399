"""Signatures of messages: HMAC-SHA256 over where a message goes, its id, its expiry and its body.

Who holds a key of the keyring can sign; what does not verify is quarantined and never acted on.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from toolyard.errors import BadSignature
from toolyard.security.keys import read_keys

#: The header that every message carries.
HEADER = "toolyard-signature"
_SCHEME = "v1"
#: Shorter keys could be guessed; RFC 2104 recommends at least the length of the hash.
MIN_KEY_BYTES = 32


class Keyring:
    """Signing keys by id: the first one signs, all verify.

    Args:
        keys: key id -> key of at least 32 bytes, in order.

    Raises:
        ValueError: no key, or one that is too short; names it by its id.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        for key_id, key in keys.items():
            if len(key) < MIN_KEY_BYTES:
                raise ValueError(f"signing key {key_id!r} has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed")
        self._bases = {key_id: hmac.new(key, digestmod=sha256) for key_id, key in keys.items()}
        self._signer = next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """A keyring from ``id:hex,id:hex``.

        Raises:
            ValueError: not of that form; the text of the error holds no key.
        """
        return cls(read_keys(text))

    def sign(self, exchange: str, key: str, message_id: str, expiration: str, body: bytes) -> str:
        """The value of the header: ``v1,<key id>,<hex digest>``."""
        return f"{_SCHEME},{self._signer},{self._digest(self._signer, exchange, key, message_id, expiration, body)}"

    def verify(self, signature: object, exchange: str, key: str, message_id: str, expiration: str, body: bytes) -> None:
        """Check a message against its signature.

        Raises:
            BadSignature: none, of another scheme, by an unknown key, or not of this message.
        """
        if not isinstance(signature, str):
            raise BadSignature("the message is not signed")
        scheme, _, rest = signature.partition(",")
        key_id, _, digest = rest.partition(",")
        if scheme != _SCHEME or key_id not in self._bases:
            raise BadSignature("the message is signed in an unknown way or by an unknown key")
        expected = self._digest(key_id, exchange, key, message_id, expiration, body)
        if not digest.isascii() or not hmac.compare_digest(digest, expected):  # compare_digest takes ASCII only
            raise BadSignature("the signature is not of this message")

    def _digest(self, key_id: str, exchange: str, key: str, message_id: str, expiration: str, body: bytes) -> str:
        mac = self._bases[key_id].copy()
        mac.update("\x1f".join((exchange, key, message_id, expiration)).encode())
        mac.update(b"\x1e")
        mac.update(body)
        return mac.hexdigest()
