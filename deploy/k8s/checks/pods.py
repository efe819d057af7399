"""What every pod has to be, whoever wrote it: restricted (the strictest Pod Security Standard), and a little more.

The standard: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

import re
from collections.abc import Iterator
from typing import Final

from deploy.k8s.checks.documents import Manifests, Pod, Problem, Tree

_VOLUMES: Final = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_PROFILES: Final = ("RuntimeDefault", "Localhost")


def problems(manifests: Manifests) -> Iterator[Problem]:
    """Everything that a namespace under the standard would refuse, and what we ask for beside it."""
    for pod in manifests.pods():
        yield from _pod(pod)
        for field, container in pod.containers():
            for at, what in (*_container(pod, container), *_image(container)):
                yield pod.owner.problem(f"{field}.{at}", what)


def _pod(pod: Pod) -> Iterator[Problem]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield pod.problem(field, "has to be left out: the pod would see its node's")
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield pod.problem("automountServiceAccountToken", "has to be false: no part speaks with the Kubernetes API")
    for number, volume in enumerate(pod.spec.get("volumes") or []):
        for kind in set(volume) - {"name"} - _VOLUMES:
            yield pod.problem(f"volumes.{number}.{kind}", f"is none of {', '.join(sorted(_VOLUMES))}")
    for sysctl in _security(pod.spec).get("sysctls") or []:
        yield pod.problem("securityContext.sysctls", f"{sysctl['name']} has to be left out: no part needs one")


def _container(pod: Pod, container: Tree) -> Iterator[tuple[str, str]]:
    own, shared = _security(container), _security(pod.spec)
    if own.get("privileged"):
        yield "securityContext.privileged", "has to be left out"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation", "has to be false"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "securityContext.readOnlyRootFilesystem", "has to be true"
    if own.get("procMount", "Default") != "Default":
        yield "securityContext.procMount", "has to be left out"
    if own.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "securityContext.runAsNonRoot", "has to be true, here or for the whole pod"
    if 0 in (own.get("runAsUser"), shared.get("runAsUser")):
        yield "securityContext.runAsUser", "0 is root"
    yield from _profiles(own, shared)
    yield from _capabilities(own.get("capabilities") or {})
    for number, port in enumerate(container.get("ports") or []):
        if port.get("hostPort"):
            yield f"ports.{number}.hostPort", "has to be left out"


def _profiles(own: Tree, shared: Tree) -> Iterator[tuple[str, str]]:
    profile = (own.get("seccompProfile") or shared.get("seccompProfile") or {}).get("type")
    if profile not in _PROFILES:
        yield "securityContext.seccompProfile.type", f"has to be {' or '.join(_PROFILES)}, here or for the whole pod"
    for context in (own, shared):
        if (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in _PROFILES:
            yield "securityContext.appArmorProfile.type", f"has to be {' or '.join(_PROFILES)}"


def _capabilities(capabilities: Tree) -> Iterator[tuple[str, str]]:
    if "ALL" not in (capabilities.get("drop") or []):
        yield "securityContext.capabilities.drop", "has to be [ALL]"
    for added in capabilities.get("add") or []:
        if added != "NET_BIND_SERVICE":
            yield "securityContext.capabilities.add", f"{added} has to be left out"


def _image(container: Tree) -> Iterator[tuple[str, str]]:
    image = str(container.get("image", ""))
    if re.search(r"@sha256:[0-9a-f]{64}$", image):
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield "image", f"{image} is another one tomorrow: give it a version (images: in the overlay) or a digest"


def _security(spec: Tree) -> Tree:
    return dict(spec.get("securityContext") or {})
