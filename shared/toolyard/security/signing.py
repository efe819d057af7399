"""Signatures of messages: HMAC-SHA256 over where a message goes, its id, its expiry and its body.

Who holds a key of the keyring can sign; what does not verify is quarantined and never acted on. A key whose id begins
with a pool, as in ``http/2026-11``, is that pool's; any other one is a *core* key, of gateways and schedulers. Who may
say what with which is `toolyard.transport.trust`.
"""

import hmac
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

from toolyard.contracts.tools import POOLS
from toolyard.errors import BadSignature
from toolyard.security.keys import read_keys

#: The header that every message carries: one entry, or several with a blank between them, each by another key.
HEADER: Final = "toolyard-signature"
#: Whose a key is that is no pool's.
CORE: Final = ""
_SCHEME: Final = "v1"
#: Shorter keys could be guessed; RFC 2104 recommends at least the length of the hash.
MIN_KEY_BYTES: Final = 32
#: Characters of a key's id: two entries fit into what a worker shows of a message that it holds.
_MAX_ID: Final = 64


class Keyring:
    """Signing keys by id: the first core key and the first of each pool sign, all verify.

    Args:
        keys: key id -> key of at least 32 bytes, in order.

    Attributes:
        core: whether it has a core key, and so speaks for the core; if not, for the pool of its first key.
        pools: those that it has keys of.

    Raises:
        ValueError: no key, or one that is too short or of a pool that there is not; names it by its id.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("a keyring needs at least one key")
        for key_id, key in keys.items():
            _check_id(key_id)
            if len(key) < MIN_KEY_BYTES:
                raise ValueError(f"signing key {key_id!r} has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed")
        self._bases = {key_id: hmac.new(key, digestmod=sha256) for key_id, key in keys.items()}
        self._owners = {key_id: owner(key_id) for key_id in keys}
        self._first = {whose: key_id for key_id, whose in reversed(self._owners.items())}
        self.core = CORE in self._first
        self.pools = frozenset(self._first) - {CORE}
        self._signer = self._first[CORE] if self.core else next(iter(keys))

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """A keyring from ``id:hex,id:hex``.

        Raises:
            ValueError: not of that form; the text of the error holds no key.
        """
        return cls(read_keys(text))

    def sign(
        self, exchange: str, key: str, message_id: str, expiration: str, body: bytes, *, also: Iterable[str] = ()
    ) -> str:
        """The value of the header: ``v1,<key id>,<hex digest>``, and one entry more for each of ``also``.

        Args:
            exchange: with ``key``, where it goes.
            key: the routing key.
            message_id: of the message.
            expiration: of the message.
            body: of the message.
            also: pools whose workers are to verify it; those that we have no key of cannot.
        """
        head = _head(exchange, key, message_id, expiration)
        entry = f"{_SCHEME},{self._signer},{_digest(self._bases[self._signer], head, body)}"
        for pool in also:
            key_id = self._first.get(pool)
            if key_id is not None and key_id != self._signer:
                entry += f" {_SCHEME},{key_id},{_digest(self._bases[key_id], head, body)}"
        return entry

    def verify(self, signature: object, exchange: str, key: str, message_id: str, expiration: str, body: bytes) -> str:
        """Check a message against its signature; whose key signed it: a pool's name, or `CORE`.

        The first entry by a key that we have decides. Who speaks for the core puts that entry first, so the core
        believes it as such, and the workers of a pool, who have no core key, look at their own.

        Raises:
            BadSignature: none, of another scheme, by an unknown key, or not of this message.
        """
        if not isinstance(signature, str) or not signature:
            raise BadSignature("the message is not signed", reason="unsigned")
        for entry in signature.split(" "):
            scheme, _, rest = entry.partition(",")
            key_id, _, digest = rest.partition(",")
            base = self._bases.get(key_id)
            if base is None or scheme != _SCHEME:
                continue
            expected = _digest(base, _head(exchange, key, message_id, expiration), body)
            if not digest.isascii() or not hmac.compare_digest(digest, expected):  # compare_digest takes ASCII only
                raise BadSignature("the signature is not of this message", reason="forged", key_id=key_id)
            return self._owners[key_id]
        raise BadSignature(
            "the message is signed in an unknown way or by an unknown key",
            reason="unknown_key",
            key_id=key_id_of(signature),
        )


def owner(key_id: str) -> str:
    """The pool that a key belongs to by its id, or `CORE`."""
    pool, slash, _ = key_id.partition("/")
    return pool if slash else CORE


def key_id_of(signature: object) -> str:
    """The id of the key that signed first, as the header says; empty where it says none. It may say anything."""
    if not isinstance(signature, str):
        return ""
    return signature.partition(" ")[0].partition(",")[2].partition(",")[0][:_MAX_ID]


def new_keys(name: str, pools: Iterable[str] = POOLS) -> dict[str, str]:
    """Fresh keys under this name, as ``id:hex``: the core's under `CORE`, and each pool's."""
    made = {whose: f"{whose}/{name}" if whose else name for whose in (CORE, *pools)}
    return {whose: f"{key_id}:{secrets.token_hex(MIN_KEY_BYTES)}" for whose, key_id in made.items()}


def _check_id(key_id: str) -> None:
    pool, slash, name = key_id.partition("/")
    if len(key_id) > _MAX_ID:
        raise ValueError(f"the key id {key_id[:_MAX_ID]!r}… is longer than {_MAX_ID} characters")
    if any(char.isspace() for char in key_id):
        raise ValueError(f"the key id {key_id!r} has a blank in it")
    if slash and pool not in POOLS:
        raise ValueError(
            f"the key id {key_id!r} is of no pool: what stands before the slash is one of {', '.join(POOLS)}"
        )
    if slash and (not name or "/" in name):
        raise ValueError(f"the key id {key_id!r} is not of the form <pool>/<name>")


def _head(exchange: str, key: str, message_id: str, expiration: str) -> bytes:
    return f"{exchange}\x1f{key}\x1f{message_id}\x1f{expiration}\x1e".encode()


def _digest(base: Any, head: bytes, body: bytes) -> str:
    mac = base.copy()
    mac.update(head)
    mac.update(body)
    return str(mac.hexdigest())
