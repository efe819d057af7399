"""Forms of data: json, csv, io, base64, binascii, hashlib, hmac, secrets, uuid, urllib.parse."""

import base64
import binascii
import csv
import hashlib
import hmac
import io
import json
import secrets
import urllib.parse
import uuid
from typing import Final

from toolyard.sandbox.language.facades.facade import Facade, facade
from toolyard.sandbox.language.guards import make_writable

make_writable(csv.DictReader, csv.DictWriter)

_PARSE: Final = facade(
    "urllib.parse",
    urllib.parse,
    "parse_qs parse_qsl quote quote_from_bytes quote_plus unquote unquote_plus unquote_to_bytes urldefrag urlencode "
    "urljoin urlparse urlsplit urlunparse urlunsplit",
)

MODULES: Final[dict[str, Facade]] = {
    "json": facade("json", json, "JSONDecodeError dump dumps load loads"),
    "csv": facade(
        "csv",
        csv,
        "DictReader DictWriter Error QUOTE_ALL QUOTE_MINIMAL QUOTE_NONE QUOTE_NONNUMERIC Sniffer reader writer",
    ),
    "io": facade("io", io, "BytesIO StringIO"),
    "base64": facade(
        "base64",
        base64,
        "a85decode a85encode b16decode b16encode b32decode b32encode b32hexdecode b32hexencode b64decode b64encode "
        "b85decode b85encode standard_b64decode standard_b64encode urlsafe_b64decode urlsafe_b64encode",
    ),
    "binascii": facade("binascii", binascii, "Error a2b_base64 a2b_hex b2a_base64 b2a_hex crc32 hexlify unhexlify"),
    "hashlib": facade(
        "hashlib",
        hashlib,
        "blake2b blake2s md5 new pbkdf2_hmac scrypt sha1 sha224 sha256 sha384 sha3_224 sha3_256 "
        "sha3_384 sha3_512 sha512 shake_128 shake_256",
    ),
    "hmac": facade("hmac", hmac, "compare_digest digest new"),
    "secrets": facade("secrets", secrets, "choice compare_digest randbelow token_bytes token_hex token_urlsafe"),
    "uuid": facade("uuid", uuid, "NAMESPACE_DNS NAMESPACE_OID NAMESPACE_URL NAMESPACE_X500 UUID uuid3 uuid4 uuid5"),
    "urllib": Facade("urllib", {"parse": _PARSE}),
    "urllib.parse": _PARSE,
}
