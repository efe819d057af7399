"""Sealing: AES-256-GCM for secrets at rest, and a box that one process alone can open for secrets on their way.

What is sealed is bound to words that say what it is; under other words it does not open. The only file that knows the
library of the ciphers.
"""

import os
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from toolyard.errors import SecretUnreadable
from toolyard.security.keys import SEALING_KEY_BYTES, SecretKeys

#: Bytes of a nonce of GCM, and of a public key of X25519.
_NONCE: Final = 12
PUBLIC_KEY_BYTES: Final = 32
_AT_REST: Final = "toolyard secret v1"
_BOX: Final = b"toolyard box v1"


# ---- at rest ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sealed:
    """What is kept of a secret.

    Attributes:
        key_id: of the key that opens it.
    """

    key_id: str
    sealed: bytes


def seal(keys: SecretKeys, value: str, *, org: str, name: str, version: int) -> Sealed:
    """A secret's value, sealed with the first key, as this version of this org's secret."""
    cipher = AESGCM(keys.get(keys.first))
    return Sealed(keys.first, _encrypt(cipher, value.encode(), _words(_AT_REST, org, name, str(version))))


def unseal(keys: SecretKeys, kept: Sealed, *, org: str, name: str, version: int) -> str:
    """The value again.

    Raises:
        SecretUnreadable: its key is not here; or it was sealed as another org's, name's or version's, or changed.
    """
    cipher = AESGCM(keys.get(kept.key_id))
    try:
        return _decrypt(cipher, kept.sealed, _words(_AT_REST, org, name, str(version))).decode()
    except InvalidTag:
        raise SecretUnreadable(
            f"it is not what was sealed with the key {kept.key_id!r} as this version of this secret of this org"
        ) from None


# ---- on the way ---------------------------------------------------------------------------------


class Recipient:
    """One process that boxes are made for: its private key is made here, kept in memory, and gone with it.

    Attributes:
        public: the key that others box with.
    """

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key().public_bytes_raw()

    def open(self, box: bytes, *words: str) -> bytes:
        """What somebody boxed for us under these words.

        Raises:
            SecretUnreadable: it is for somebody else, of other words, or changed.
        """
        sender, sealed = box[:PUBLIC_KEY_BYTES], box[PUBLIC_KEY_BYTES:]
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(sender))
            return _decrypt(_cipher(shared, sender, self.public), sealed, _words(*words))
        except (InvalidTag, ValueError):
            raise SecretUnreadable("the box is not for this process, or not what it is said to be") from None


def box(public: bytes, content: bytes, *words: str) -> bytes:
    """Content that only the owner of this public key can read, and only as what these words say.

    Each box has a key pair of its own, whose private half is forgotten here.

    Raises:
        ValueError: no public key of X25519, or one with which everybody could read it.
    """
    own = X25519PrivateKey.generate()
    sender = own.public_key().public_bytes_raw()
    shared = own.exchange(X25519PublicKey.from_public_bytes(public))
    return sender + _encrypt(_cipher(shared, sender, public), content, _words(*words))


def _cipher(shared: bytes, sender: bytes, recipient: bytes) -> AESGCM:
    derived = HKDF(SHA256(), SEALING_KEY_BYTES, salt=None, info=_BOX + sender + recipient).derive(shared)
    return AESGCM(derived)


# ---- both ---------------------------------------------------------------------------------------


def _encrypt(cipher: AESGCM, content: bytes, words: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, content, words)


def _decrypt(cipher: AESGCM, sealed: bytes, words: bytes) -> bytes:
    if len(sealed) < _NONCE:
        raise InvalidTag
    return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], words)


def _words(*words: str) -> bytes:
    """Words as bytes that no other words are: each with its length before it."""
    raw = [word.encode() for word in words]
    return b"".join(len(each).to_bytes(4, "big") + each for each in raw)
