"""What the code knows of its own parts: with which settings each would start, where it listens, how long it drains.

A process is told by its container's arguments, as in `worker http`. Its environment is put together as the kubelet
would; for what secrets hold that are not in the manifests stand examples of the right form.
"""

import base64
import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.k8s.checks.documents import Document, Manifests, Pod, Problem, Tree

from toolyard.contracts.tools import POOLS
from toolyard.errors import SettingsError
from toolyard.timing import GATEWAY_DRAIN, LAST_WORDS
from toolyard_executors.__main__ import HEALTH_PORT as WORKER_PORT
from toolyard_executors.settings import read_settings as worker_settings
from toolyard_gateway.serving import PORT as GATEWAY_PORT
from toolyard_gateway.settings import read_settings as gateway_settings
from toolyard_scheduler.process import PORT as SCHEDULER_PORT
from toolyard_scheduler.rebuilding.settings import read_settings as ledger_settings
from toolyard_scheduler.settings import read_settings as scheduler_settings

#: How images of ours are called, behind the registry.
_OURS: Final = "toolyard-"
#: Seconds that Kubernetes gives where nobody says.
_USUAL_GRACE: Final = 30
#: MiB that a worker of the sandbox needs itself, beside what its calls may use.
SANDBOX_ITSELF: Final = 256
#: Addresses at which a kubelet, or another pod, finds somebody.
_FOR_OTHERS: Final = ("0.0.0.0", "::")  # noqa: S104 - looked for, not listened at
#: How a ledger may be made anew.
_REBUILT: Final = frozenset({"--check", "--replace", "--pass-over-unknown-keys", "--json"})
_KNOWN: Final = "gateway, worker POOL, scheduler [--migrate], ledger rebuild [--check] [--replace]"
_PROBES: Final = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
_SOURCES: Final = (("configMap", "ConfigMap"), ("secret", "Secret"))
_UNITS: Final = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


@dataclass(frozen=True, slots=True)
class Part:
    """What a process of one kind is."""

    settings: Callable[[Mapping[str, str]], Any]
    image: str
    port: int | None
    drain: Callable[[Any], float] = lambda _: 0


def part_of(arguments: list[str]) -> Part | None:
    """The part that these arguments of `toolyard` start."""
    match arguments:
        case ["gateway"]:
            return Part(gateway_settings, "toolyard-gateway", GATEWAY_PORT, lambda _: GATEWAY_DRAIN)
        case ["scheduler"]:
            return Part(scheduler_settings, "toolyard-scheduler", SCHEDULER_PORT)
        case ["scheduler", "--migrate"]:
            return Part(scheduler_settings, "toolyard-scheduler", None)
        case ["ledger", "rebuild", *how] if set(how) <= _REBUILT:
            return Part(ledger_settings, "toolyard-scheduler", None)
        case ["worker", pool] if pool in POOLS:
            read = functools.partial(worker_settings, pool)
            return Part(read, "toolyard-executors", WORKER_PORT, lambda settings: float(settings.drain))
    return None


def arguments_of(container: Tree) -> list[str]:
    """What the container's process is asked to do."""
    return list(map(str, container.get("args") or []))


def problems(manifests: Manifests) -> Iterator[Problem]:
    """Everything that would keep a part from starting, from being found, or from ending in good order."""
    for pod in manifests.pods():
        for field, container in pod.containers():
            if image_name(container).startswith(_OURS):
                yield from _process(pod, field, container, manifests)


def places(document: Document, manifests: Manifests) -> Iterator[tuple[str, int]]:
    """The pool of a Deployment's workers, and how many calls each runs at a time; nothing where settings are wrong."""
    for pod in (pod for pod in manifests.pods() if pod.owner is document):
        for _, container in pod.containers():
            arguments = arguments_of(container)
            part = part_of(arguments)
            if part is not None and arguments[0] == "worker":
                with contextlib.suppress(SettingsError):
                    settings = part.settings(environment(container, manifests, pod.namespace))
                    yield arguments[1], settings.places(arguments[1])


def image_name(container: Tree) -> str:
    """The image's name without registry, tag and digest."""
    return str(container.get("image", "")).rpartition("/")[2].partition("@")[0].partition(":")[0]


def _process(pod: Pod, field: str, container: Tree, manifests: Manifests) -> Iterator[Problem]:
    arguments = arguments_of(container)
    part = part_of(arguments)
    if part is None:
        told = " ".join(arguments)
        yield pod.owner.problem(f"{field}.args", f"`toolyard {told}` is none of {_KNOWN}")
        return
    if image_name(container) != part.image:
        yield pod.owner.problem(f"{field}.image", f"{image_name(container)} cannot do this: {part.image} can")
    given = environment(container, manifests, pod.namespace)
    try:
        settings = part.settings(given)
    except SettingsError as error:
        yield pod.owner.problem(f"{field}.env", str(error))
        return
    yield from _unread(pod, field, container, settings)
    yield from _listening(pod, field, container, part, settings)
    yield from _keeping(pod, field, given, settings)
    if part.port is not None:
        yield from _ending(pod, container, part, settings)
    if arguments == ["worker", "sandbox"]:
        yield from _memory(pod, field, container, settings)


# ---- the environment ----------------------------------------------------------------------------
def environment(container: Tree, manifests: Manifests, namespace: str) -> dict[str, str]:
    """What the kubelet would give the process; what is nowhere to be found is left out."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for key, kind in _SOURCES:
            if reference := source.get(f"{key}Ref"):
                values = held(manifests, kind, reference["name"], namespace)
                found |= {source.get("prefix", "") + name: value for name, value in values.items()}
    for each in container.get("env") or []:
        if "value" in each:
            found[each["name"]] = _filled(str(each["value"]), found)
        for key, kind in _SOURCES:
            if reference := (each.get("valueFrom") or {}).get(f"{key}KeyRef"):
                values = held(manifests, kind, reference["name"], namespace)
                found |= {each["name"]: values[reference["key"]]} if reference["key"] in values else {}
    return found


def _filled(value: str, known: Mapping[str, str]) -> str:
    """A value with the variables in it that came before, as in ``$(PASSWORD)``."""
    return re.sub(r"\$\((\w+)\)", lambda name: known.get(name[1], name[0]), value)


def held(manifests: Manifests, kind: str, name: str, namespace: str) -> dict[str, str]:
    """What a ConfigMap or Secret holds; of secrets that are not in the manifests, the examples."""
    document = manifests.find(kind, name, namespace)
    if document is None:
        return manifests.outside.get(name, {}) if kind == "Secret" else {}
    data = {str(key): str(value) for key, value in document.at("data", {}).items()}
    if kind == "Secret":
        data = {key: _decoded(value) for key, value in data.items()} | dict(document.at("stringData", {}))
    return data


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode()


def _unread(pod: Pod, field: str, container: Tree, settings: Any) -> Iterator[Problem]:
    """Variables that stand in the container itself are for it alone; shared maps may hold those of others."""
    read = {each.metadata.get("env") for each in settings.__dataclass_fields__.values()}
    for number, each in enumerate(container.get("env") or []):
        if (
            each["name"].startswith("TOOLYARD_")
            and not each["name"].startswith("TOOLYARD_SECRET_")
            and each["name"] not in read
        ):
            yield pod.owner.problem(f"{field}.env.{number}", f"{each['name']} is no setting that this part reads")


# ---- listening, keeping, ending -----------------------------------------------------------------
def _listening(pod: Pod, field: str, container: Tree, part: Part, settings: Any) -> Iterator[Problem]:
    if part.port is None:
        return
    port = settings.port or part.port
    if settings.host not in _FOR_OTHERS:
        yield pod.owner.problem(
            f"{field}.env", f"TOOLYARD_HOST is {settings.host}: nobody outside of the pod reaches it"
        )
    named = {each.get("name"): each["containerPort"] for each in container.get("ports") or []}
    for number, each in enumerate(container.get("ports") or []):
        if each["containerPort"] != port:
            yield pod.owner.problem(f"{field}.ports.{number}", f"it listens on {port}, not on {each['containerPort']}")
    for probe, path in _PROBES.items():
        asked: Tree = (container.get(probe) or {}).get("httpGet") or {}
        if not asked:
            yield pod.owner.problem(f"{field}.{probe}", f"is missing: httpGet {path}")
        elif asked.get("path") != path:
            yield pod.owner.problem(f"{field}.{probe}.httpGet.path", f"{asked.get('path')} is not {path}")
        elif named.get(asked["port"], asked["port"]) != port:
            yield pod.owner.problem(f"{field}.{probe}.httpGet.port", f"it listens on {port}, not on {asked['port']}")


def _keeping(pod: Pod, field: str, given: Mapping[str, str], settings: Any) -> Iterator[Problem]:
    """Nothing that a part keeps outlives its pod: it is given its keys, and no folder in which it could make some."""
    if settings.signing_keys is None:
        yield pod.owner.problem(f"{field}.env", "TOOLYARD_SIGNING_KEYS is not set: it has no place to keep a key")
    if "TOOLYARD_DATA" in given:
        yield pod.owner.problem(
            f"{field}.env",
            "TOOLYARD_DATA is set: a part without keys would make some there, that nobody else knows and that go with "
            "the pod, and not say what is missing",
        )


def _ending(pod: Pod, container: Tree, part: Part, settings: Any) -> Iterator[Problem]:
    field, given = "terminationGracePeriodSeconds", pod.spec.get("terminationGracePeriodSeconds", _USUAL_GRACE)
    before = ((container.get("lifecycle") or {}).get("preStop") or {}).get("sleep", {}).get("seconds", 0)
    drain = part.drain(settings)
    needed = before + drain + LAST_WORDS
    if given < needed:
        told = f"{before} s before the signal, {drain:g} s of drain, and {LAST_WORDS:g} s to end"
        yield pod.problem(field, f"{given} is too short for {told}: {needed:g} or more")
    if settings.grace is not None and settings.grace > given - before:
        yield pod.problem(
            field, f"{given} leaves {given - before} s after the signal; TOOLYARD_GRACE says {settings.grace:g}"
        )


def _memory(pod: Pod, field: str, container: Tree, settings: Any) -> Iterator[Problem]:
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    scratch = sum(
        _mib(each["emptyDir"].get("sizeLimit", "0Mi")) for each in pod.spec.get("volumes") or [] if _in_memory(each)
    )
    needed = settings.sandbox_memory + SANDBOX_ITSELF + scratch
    if limit is not None and _mib(limit) < needed:
        yield pod.owner.problem(
            f"{field}.resources.limits.memory",
            f"{limit} is too little: {settings.sandbox_memory} MiB for calls (TOOLYARD_SANDBOX_MEMORY), "
            f"{SANDBOX_ITSELF} for itself, {scratch:g} for its /tmp; {needed:g}Mi or more",
        )


def _in_memory(volume: Tree) -> bool:
    return (volume.get("emptyDir") or {}).get("medium") == "Memory"


def _mib(quantity: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti)", str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is no amount of memory like 512Mi or 2Gi")
    return float(match[1]) * _UNITS[match[2]]
