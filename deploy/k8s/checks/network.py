"""Who reaches whom: the network policies are evaluated, as a cluster's network would, and held against a table.

A connection passes if an egress policy of who calls and an ingress policy of who is called let it; who is chosen by no
policy of a direction is open in it.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from deploy.k8s.checks.documents import Document, Manifests, Pod, Problem, Tree, selects
from deploy.k8s.checks.parts import arguments_of, part_of

from toolyard.contracts.tools import POOLS

#: What Kubernetes writes onto each namespace.
NAME_OF_NAMESPACE: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection: a pod by its labels, or somebody outside of the cluster by an address."""

    name: str
    namespace: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    address: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    does: tuple[str, ...] = ()

    @classmethod
    def of(cls, pod: Pod) -> "Peer":
        """A pod of the manifests; what it does say the arguments of our command, where it is one of ours."""
        does = next((tuple(arguments_of(each)) for _, each in pod.containers() if part_of(arguments_of(each))), ())
        named = {
            port["name"]: port["containerPort"]
            for _, container in pod.containers()
            for port in container.get("ports") or []
            if "name" in port
        }
        return cls(pod.owner.name, pod.namespace, pod.labels, ports=named, does=does)


class Network:
    """The policies of one overlay."""

    def __init__(self, manifests: Manifests) -> None:
        self._policies = manifests.of("NetworkPolicy")
        self._namespaces = {each.name: each.labels for each in manifests.of("Namespace")}

    def passes(self, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection is let through by both ends."""
        return self._out(source, target, port, protocol) and self._in(source, target, port, protocol)

    def _out(self, source: Peer, target: Peer, port: int, protocol: str) -> bool:
        chosen = self._chosen("Egress", source)
        rules = [(policy, rule) for policy in chosen for rule in policy.at("spec.egress", [])]
        return not chosen or any(
            self._peers(rule.get("to"), target, policy) and _ports(rule, target, port, protocol)
            for policy, rule in rules
        )

    def _in(self, source: Peer, target: Peer, port: int, protocol: str) -> bool:
        chosen = self._chosen("Ingress", target)
        rules = [(policy, rule) for policy in chosen for rule in policy.at("spec.ingress", [])]
        return not chosen or any(
            self._peers(rule.get("from"), source, policy) and _ports(rule, target, port, protocol)
            for policy, rule in rules
        )

    def _chosen(self, direction: str, peer: Peer) -> list[Document]:
        """The policies of a direction that choose a pod; those outside of the cluster are chosen by none."""
        return [
            policy
            for policy in self._policies
            if not peer.address
            and policy.namespace == peer.namespace
            and direction in _directions(policy)
            and selects(policy.at("spec.podSelector", {}), peer.labels)
        ]

    def _peers(self, told: list[Tree] | None, peer: Peer, policy: Document) -> bool:
        return not told or any(self._is(each, peer, policy) for each in told)

    def _is(self, told: Tree, peer: Peer, policy: Document) -> bool:
        if "ipBlock" in told:
            return bool(peer.address) and _within(told["ipBlock"], peer.address)
        if peer.address:
            return False
        if "namespaceSelector" in told:
            labels = self._namespaces.get(peer.namespace, {}) | {NAME_OF_NAMESPACE: peer.namespace}
            if not selects(told["namespaceSelector"], labels):
                return False
        elif peer.namespace != policy.namespace:
            return False
        return selects(told.get("podSelector") or {}, peer.labels)


def _directions(policy: Document) -> list[str]:
    usual = ["Ingress", "Egress"] if policy.at("spec.egress") else ["Ingress"]
    return list(policy.at("spec.policyTypes", usual))


def _ports(rule: Tree, target: Peer, port: int, protocol: str) -> bool:
    told = rule.get("ports")
    return not told or any(_port(each, target, port, protocol) for each in told)


def _port(told: Tree, target: Peer, port: int, protocol: str) -> bool:
    if told.get("protocol", "TCP") != protocol:
        return False
    first: str | int | None = told.get("port")
    if first is None:
        return True
    if isinstance(first, str):
        return target.ports.get(first) == port
    return first <= port <= int(told.get("endPort", first))


def _within(block: Tree, address: str) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block["cidr"]) and not any(
        found in ipaddress.ip_network(each) for each in block.get("except") or []
    )


# ---- the table ----------------------------------------------------------------------------------
DNS: Final = Peer("the cluster's DNS", "kube-system", {"k8s-app": "kube-dns"})
NEIGHBOUR: Final = Peer("a pod of another namespace", "elsewhere", {"app": "neighbour"})
STRANGER: Final = Peer("an address outside", address="203.0.113.7")
PROMETHEUS: Final = Peer("Prometheus", "monitoring", {"app.kubernetes.io/name": "prometheus"})
KEDA: Final = Peer("KEDA", "keda", {"app": "keda-operator"})
PUBLIC: Final = tuple(
    Peer(f"the public address {each}", address=each) for each in ("1.1.1.1", "93.184.215.14", "2606:4700::1111")
)
#: What kind of address -> some, at the borders too.
_CLOSED: Final = {
    "private": "10.0.0.1 10.96.0.1 172.16.0.1 172.31.255.254 192.168.1.1 100.64.0.1 fd00::1",
    "link-local": "169.254.0.1 fe80::1",
    "metadata": "169.254.169.254 169.254.170.2 168.63.129.16 fd00:ec2::254 100.100.100.200",
    "loopback": "127.0.0.1 ::1 0.0.0.0",
    "translated": "64:ff9b::a9fe:a9fe ::ffff:10.0.0.1 2002:a00:1::",
}
CLOSED: Final = tuple(
    Peer(f"the {what} address {each}", address=each) for what, some in _CLOSED.items() for each in some.split()
)
_BROKER, _DATABASE, _MANAGEMENT, _WEB = (5672, 5671), (5432,), (15672,), (443, 80)
#: Ports of whoever might be near: broker, database, web, the API, a kubelet, etcd, the parts themselves.
_NEAR: Final = (22, 80, 443, 2379, 4369, 5432, 5671, 5672, 6443, 8080, 8081, 8082, 10250, 15672, 25672)
#: Ports that no part needs of anybody who is far away.
_FAR: Final = (22, 25, 53, 5432, 5672, 8080)
#: Who may reach what, by what they do; workers of the sandbox, what the component sandbox-egress makes of them.
_RIGHTS: Final[dict[tuple[str, ...], frozenset[str]]] = {
    ("gateway",): frozenset({"broker", "database"}),
    ("scheduler",): frozenset({"broker", "database", "public"}),
    ("scheduler", "--migrate"): frozenset({"database"}),
    ("ledger", "rebuild"): frozenset({"broker", "database"}),
    ("worker", "sandbox"): frozenset({"broker"}),
    **{("worker", pool): frozenset({"broker", "public"}) for pool in POOLS if pool != "sandbox"},
}
#: Whom everybody may call.
_DOOR: Final = ("gateway",)
#: What the component sandbox-egress puts on the workers of the pool.
_OPENED: Final = ("toolyard.io/public-addresses", "reached")


def rights(peer: Peer) -> frozenset[str] | None:
    """What a part may reach beside the DNS; None for who is no part of ours."""
    opened = peer.does == ("worker", "sandbox") and peer.labels.get(_OPENED[0]) == _OPENED[1]
    found = _RIGHTS.get(peer.does[:2] if peer.does[:1] == ("ledger",) else peer.does)
    return found | {"public"} if found is not None and opened else found


class Table:
    """Who is there in one overlay, and each line of what must and must not pass."""

    def __init__(self, manifests: Manifests) -> None:
        self.network: Final = Network(manifests)
        peers = [Peer.of(pod) for pod in manifests.pods()]
        made = [_node(cluster) for cluster in manifests.of("RabbitmqCluster")]
        self.parts: Final = [peer for peer in peers if rights(peer) is not None]
        self.brokers: Final = [peer for peer in peers if 5672 in peer.ports.values()] + made
        self.databases: Final = [peer for peer in peers if 5432 in peer.ports.values()]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each line that does not hold: who, and what of them."""
        for part in self.parts:
            for what in (*self._near(part), *self._far(part), *self._calls(part)):
                yield part.name, what
        for service in (*self.brokers, *self.databases):
            for what in self._guarded(service):
                yield service.name, what

    def _near(self, part: Peer) -> Iterator[str]:
        may = rights(part) or frozenset()
        yield from self._must(part, [DNS], (53,), "UDP")
        for service in self.brokers:
            yield from self._as(part, service, _BROKER[:1], "broker" in may)
            yield from self._never(part, [service], [port for port in _NEAR if port not in _BROKER])
        for service in self.databases:
            yield from self._as(part, service, _DATABASE, "database" in may)
            yield from self._never(part, [service], [port for port in _NEAR if port not in _DATABASE])
        for other in self.parts:
            if other is not part:
                own = other.ports.values() if other.does == _DOOR else ()
                yield from self._never(part, [other], [port for port in _NEAR if port not in own])
        yield from self._never(part, [NEIGHBOUR], _NEAR)

    def _far(self, part: Peer) -> Iterator[str]:
        may = rights(part) or frozenset()
        outside = "database" in may and not self.databases
        for port in _WEB:
            yield from (self._must if "public" in may else self._never)(part, PUBLIC, (port,))
        yield from self._never(part, PUBLIC, _FAR)
        yield from self._never(part, CLOSED, [port for port in _NEAR if not (outside and port in _DATABASE)])
        if outside and not any(self.network.passes(part, each, 5432) for each in CLOSED):
            yield "reaches no database: neither is one in the manifests, nor is an address of one let through"

    def _calls(self, part: Peer) -> Iterator[str]:
        """Who reaches a part: Prometheus all that listen, everybody the gateway, and else nobody anything."""
        own = tuple(part.ports.values())
        yield from self._must(PROMETHEUS, [part], own)
        for somebody in (NEIGHBOUR, STRANGER):
            if part.does == _DOOR:
                yield from self._must(somebody, [part], own)
            yield from self._never(somebody, [part], [port for port in _NEAR if port not in own or part.does != _DOOR])

    def _guarded(self, service: Peer) -> Iterator[str]:
        for somebody in (NEIGHBOUR, STRANGER):
            yield from self._never(somebody, [service], _NEAR)
        yield from self._never(service, [*PUBLIC, *CLOSED, NEIGHBOUR], _NEAR)

    def _as(self, source: Peer, target: Peer, ports: Iterable[int], wanted: bool) -> Iterator[str]:
        yield from (self._must if wanted else self._never)(source, [target], ports)

    def _must(
        self, source: Peer, targets: Iterable[Peer], ports: Iterable[int], protocol: str = "TCP"
    ) -> Iterator[str]:
        yield from self._line(source, targets, ports, protocol, wanted=True)

    def _never(self, source: Peer, targets: Iterable[Peer], ports: Iterable[int]) -> Iterator[str]:
        yield from self._line(source, targets, ports, "TCP", wanted=False)
        yield from self._line(source, targets, ports, "UDP", wanted=False)

    def _line(
        self, source: Peer, targets: Iterable[Peer], ports: Iterable[int], protocol: str, *, wanted: bool
    ) -> Iterator[str]:
        for target in targets:
            for port in ports:
                if self.network.passes(source, target, port, protocol) is not wanted:
                    told, should = ("does not reach", "has to") if wanted else ("reaches", "must not")
                    yield f"{source.name} {told} {target.name} at {protocol} {port}, and {should}"


def _node(cluster: Document) -> Peer:
    """The pods that the cluster operator makes."""
    labels = {
        "app.kubernetes.io/name": cluster.name,
        "app.kubernetes.io/component": "rabbitmq",
        "app.kubernetes.io/part-of": "rabbitmq",
    }
    ports = {"amqp": 5672, "amqps": 5671, "management": 15672, "prometheus": 15692}
    return Peer(cluster.name, cluster.namespace, labels, ports=ports)


def problems(manifests: Manifests) -> Iterator[Problem]:
    """Every line of the table that does not hold."""
    table = Table(manifests)
    for name, what in table.lines():
        yield Problem(name, "NetworkPolicy", what)
    for scaled in manifests.of("ScaledObject")[:1]:
        for broker in table.brokers:
            if not table.network.passes(KEDA, broker, *_MANAGEMENT):
                yield scaled.problem(
                    "NetworkPolicy", f"KEDA does not reach {broker.name} at TCP 15672, where it counts"
                )
