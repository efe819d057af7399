"""Which addresses are public, and which are the metadata services of clouds. Read by the egress policy alone.

The ranges are written out, because `ipaddress.is_global` lets through much that leads back inside.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network

Address = IPv4Address | IPv6Address
_Ranges = tuple[tuple[int, int], ...]


def _ranges(*networks: str) -> _Ranges:
    parsed = [ip_network(text) for text in networks]
    return tuple((int(network[0]), int(network[-1])) for network in parsed)


_NOT_PUBLIC_4 = _ranges(
    "0.0.0.0/8",  # this host
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT
    "127.0.0.0/8",
    "168.63.129.16/32",  # Azure's wire server
    "169.254.0.0/16",  # link-local
    "172.16.0.0/12",
    "192.0.0.0/24",  # protocol assignments
    "192.0.2.0/24",  # documentation
    "192.168.0.0/16",
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)

#: Of IPv6 only this is handed out to anybody; all that embeds an IPv4 address by prefix lies outside or below.
_CANDIDATES_6 = _ranges("2000::/3")
_NOT_PUBLIC_6 = _ranges(
    "2001::/23",  # Teredo, ORCHID, benchmarks
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4
    "3fff::/20",  # documentation
)

_METADATA_4 = _ranges(
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure
    "169.254.0.23/32",  # Tencent
    "169.254.42.42/32",  # Scaleway
    "169.254.169.0/24",  # nearly all others: .254, and its neighbours for GKE and time
    "169.254.170.0/24",  # AWS credentials of ECS tasks and EKS pods
    "192.0.0.192/32",  # Oracle
)
_METADATA_6 = _ranges(
    "fd00:42::42/128",  # Scaleway
    "fd00:ec2::/64",  # AWS: ::254 instances, ::23 EKS pods
    "fd20:ce::/64",  # Google
)

_6TO4 = bytes.fromhex("2002")
_TEREDO = bytes.fromhex("20010000")
_NAT64_LOCAL = bytes.fromhex("0064ff9b0001")


def is_public(address: Address) -> bool:
    """Whether the address belongs to the public Internet and leads nowhere else."""
    value = int(address)
    if isinstance(address, IPv4Address):
        return not _within(value, _NOT_PUBLIC_4)
    return _within(value, _CANDIDATES_6) and not _within(value, _NOT_PUBLIC_6)


def is_metadata(address: Address) -> bool:
    """Whether the address is a cloud's metadata service, or an IPv6 form that a translator turns into one."""
    if isinstance(address, IPv4Address):
        return _within(int(address), _METADATA_4)
    if _within(int(address), _METADATA_6):
        return True
    return any(_within(int.from_bytes(inner), _METADATA_4) for inner in _embedded(address.packed))


def _within(value: int, ranges: _Ranges) -> bool:
    return any(first <= value <= last for first, last in ranges)


def _embedded(packed: bytes) -> Iterator[bytes]:
    """The IPv4 addresses that may hide in an IPv6 address."""
    yield packed[12:]  # mapped, compatible, translated, ISATAP, NAT64 under any /96
    if packed.startswith(_6TO4):
        yield packed[2:6]
    if packed.startswith(_TEREDO):
        yield packed[4:8]
        yield bytes(255 - octet for octet in packed[12:])
    if packed.startswith(_NAT64_LOCAL):  # RFC 6052: octet 8 is skipped
        inner = packed[6:8] + packed[9:]
        yield from (inner[start : start + 4] for start in range(3))
