"""Each mistake in a manifest is found, and the message says which document, which field, and what would be right."""

import pytest
from deploy.k8s.checks import keda, network, parts, pods, references, schemas
from deploy.k8s.checks.__main__ import looked_at

GATEWAY, SCHEDULER, WORKER = (f"Deployment toolyard/{name}" for name in ("gateway", "scheduler", "worker-http"))
SANDBOX, SCALED, JOB = "Deployment toolyard/worker-sandbox", "ScaledObject toolyard/worker-http", "Job toolyard/migrate"
MONITOR = "PodMonitor toolyard/toolyard"
SPEC = "spec.template.spec"
CONTAINER = f"{SPEC}.containers.0"
METADATA = "spec.triggers.0.metadata"


def said(look, changed):
    return [str(problem) for problem in look(changed.manifests)]


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_what_is_there_is_right(rendered, overlay):
    assert looked_at(rendered[overlay]) == []


# ---- the form of documents ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("document", "path", "value", "what"),
    [
        (GATEWAY, f"{CONTAINER}.livenesProbe", {}, f"{CONTAINER}: Additional properties are not allowed"),
        (GATEWAY, "spec.replicas", "2", 'spec.replicas: "2" is not of types'),
        (GATEWAY, "spec.selector", None, 'spec: "selector" is a required property'),
        (GATEWAY, "kind", "Deploiment", "apps/v1 Deploiment is no kind of Kubernetes 1.31"),
        (GATEWAY, "apiVersion", "apps/v1beta1", "apps/v1beta1 Deployment is no kind of Kubernetes"),
        (SCALED, "spec.maxReplicas", 3, "spec: Additional properties are not allowed ('maxReplicas' was unexpected)"),
        (SCALED, f"{METADATA}.value", 192, f'{METADATA}.value: 192 is not of type "string"'),
        (SCALED, "spec.triggers.0.type", "rabbit", '"rabbit" is not one of "rabbitmq"'),
        ("RabbitmqCluster toolyard/rabbitmq", "spec.persistence.size", "1Gi", "'size' was unexpected"),
        ("Queue toolyard/toolyard-log", "spec.rabbitmqClusterReference", None, "is a required property"),
    ],
)
def test_a_document_of_another_form_is_found(production, document, path, value, what):
    found = said(schemas.problems, production.put(document, path, value))
    assert any(what in each for each in found), found


def test_what_only_some_versions_know_says_which(production):
    found = said(schemas.problems, production.put(WORKER, f"{SPEC}.resources", {"limits": {"cpu": "1"}}))
    assert [
        each
        for each in found
        if "'resources' was unexpected" in each and each.endswith(f"(in Kubernetes {schemas.VERSIONS[0]})")
    ]


# ---- pods ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (f"{SPEC}.securityContext.seccompProfile", None, "seccompProfile.type: has to be RuntimeDefault or Localhost"),
        (f"{SPEC}.securityContext.runAsNonRoot", None, "runAsNonRoot: has to be true"),
        (f"{SPEC}.securityContext.runAsUser", 0, "runAsUser: 0 is root"),
        (f"{SPEC}.automountServiceAccountToken", None, "automountServiceAccountToken: has to be false"),
        (f"{SPEC}.hostNetwork", True, "hostNetwork: has to be left out"),
        (f"{SPEC}.volumes.0", {"name": "tmp", "hostPath": {"path": "/tmp"}}, "volumes.0.hostPath: is none of"),
        (f"{SPEC}.securityContext.sysctls", [{"name": "kernel.msgmax"}], "kernel.msgmax has to be left out"),
        (f"{CONTAINER}.securityContext.allowPrivilegeEscalation", None, "allowPrivilegeEscalation: has to be false"),
        (f"{CONTAINER}.securityContext.readOnlyRootFilesystem", False, "readOnlyRootFilesystem: has to be true"),
        (f"{CONTAINER}.securityContext.privileged", True, "privileged: has to be left out"),
        (f"{CONTAINER}.securityContext.procMount", "Unmasked", "procMount: has to be left out"),
        (f"{CONTAINER}.securityContext.capabilities.drop", None, "capabilities.drop: has to be [ALL]"),
        (f"{CONTAINER}.securityContext.capabilities.add", ["NET_RAW"], "NET_RAW has to be left out"),
        (f"{CONTAINER}.securityContext.seccompProfile", {"type": "Unconfined"}, "seccompProfile.type: has to be"),
        (f"{CONTAINER}.securityContext.appArmorProfile", {"type": "Unconfined"}, "appArmorProfile.type: has to be"),
        (f"{CONTAINER}.ports.0.hostPort", 8080, "hostPort: has to be left out"),
        (f"{CONTAINER}.image", "toolyard-gateway:latest", "toolyard-gateway:latest is another one tomorrow"),
        (f"{CONTAINER}.image", "registry:5000/toolyard-gateway", "registry:5000/toolyard-gateway is another one"),
    ],
)
def test_a_pod_that_may_too_much_is_found(production, path, value, what):
    found = said(pods.problems, production.put(GATEWAY, path, value))
    assert len(found) == 1, found
    assert found[0].startswith(f"{GATEWAY}: {SPEC}")
    assert what in found[0]


def test_a_digest_is_a_version(production):
    image = f"registry:5000/toolyard-gateway@sha256:{'0' * 64}"
    assert said(pods.problems, production.put(GATEWAY, f"{CONTAINER}.image", image)) == []


# ---- settings, ports, ends ----------------------------------------------------------------------
def variable(name, value):
    return [{"name": name, "value": value}]


@pytest.mark.parametrize(
    ("document", "path", "value", "what"),
    [
        (GATEWAY, f"{CONTAINER}.env", variable("TOOLYARD_PROFIL", "dev"), "did you mean TOOLYARD_PROFILE?"),
        (GATEWAY, f"{CONTAINER}.env", variable("TOOLYARD_CONCURRENCY", "8"), "is no setting that this part reads"),
        (GATEWAY, f"{CONTAINER}.env", variable("TOOLYARD_TOPOLOGY", "declare"), "in production the topology is"),
        (GATEWAY, f"{CONTAINER}.env", variable("TOOLYARD_HOST", "127.0.0.1"), "nobody outside of the pod reaches it"),
        (
            GATEWAY,
            f"{CONTAINER}.env",
            variable("TOOLYARD_DATA", "/tmp/toolyard"),
            "a part without keys would make some",
        ),
        (
            GATEWAY,
            f"{CONTAINER}.env",
            variable("TOOLYARD_PROFILE", "dev") + variable("TOOLYARD_SIGNING_KEYS", ""),
            "TOOLYARD_SIGNING_KEYS is not set: it has no place to keep a key",
        ),
        (GATEWAY, f"{CONTAINER}.env", variable("TOOLYARD_PORT", "9000"), "it listens on 9000, not on 8080"),
        (GATEWAY, f"{CONTAINER}.envFrom.1", None, "TOOLYARD_TRANSPORT_URL is not set"),
        (GATEWAY, f"{CONTAINER}.ports.0.containerPort", 80, "it listens on 8080, not on 80"),
        (GATEWAY, f"{CONTAINER}.args", ["gatway"], "`toolyard gatway` is none of gateway, worker POOL"),
        (GATEWAY, f"{CONTAINER}.args", ["scheduler"], "toolyard-gateway cannot do this: toolyard-scheduler can"),
        (GATEWAY, f"{CONTAINER}.readinessProbe.httpGet.path", "/livez", "/livez is not /readyz"),
        (GATEWAY, f"{CONTAINER}.readinessProbe.httpGet.port", 9090, "it listens on 8080, not on 9090"),
        (GATEWAY, f"{CONTAINER}.livenessProbe", None, "livenessProbe: is missing: httpGet /livez"),
        (
            GATEWAY,
            f"{SPEC}.terminationGracePeriodSeconds",
            19,
            "19 is too short for 5 s before the signal, 10 s of drain",
        ),
        (WORKER, f"{SPEC}.terminationGracePeriodSeconds", 304, "300 s of drain, and 5 s to end: 305 or more"),
        (WORKER, f"{SPEC}.terminationGracePeriodSeconds", 310, "TOOLYARD_GRACE says 320"),
        (SANDBOX, f"{CONTAINER}.resources.limits.memory", "1Gi", "1Gi is too little: 1024 MiB for calls"),
        (SANDBOX, f"{CONTAINER}.envFrom.1.secretRef.name", "toolyard-worker-http", "has a key of http"),
        (JOB, f"{CONTAINER}.args", ["scheduler", "--migrat"], "`toolyard scheduler --migrat` is none of"),
    ],
)
def test_a_part_that_would_not_start_or_not_be_found_or_not_end_is_found(production, document, path, value, what):
    found = said(parts.problems, production.put(document, path, value))
    assert any(each.startswith(document) and what in each for each in found), found


def test_a_variable_may_be_made_of_others(dev):
    url = [
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "rabbitmq", "key": "RABBITMQ_DEFAULT_PASS"}}},
        {"name": "TOOLYARD_TRANSPORT_URL", "value": "amqp://toolyard:$(PASSWORD)@rabbitmq/toolyard"},
    ]
    changed = dev.put(WORKER, f"{CONTAINER}.env", url)
    container = changed.manifests.find("Deployment", "worker-http", "toolyard").at(CONTAINER)
    made = parts.environment(container, changed.manifests, "toolyard")
    password = changed.manifests.outside["rabbitmq"]["RABBITMQ_DEFAULT_PASS"]
    assert made["TOOLYARD_TRANSPORT_URL"] == f"amqp://toolyard:{password}@rabbitmq/toolyard"


# ---- names --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("document", "path", "value", "what"),
    [
        (GATEWAY, f"{CONTAINER}.envFrom.0.configMapRef.name", "settings", "there is no ConfigMap settings"),
        (GATEWAY, f"{CONTAINER}.envFrom.1.secretRef.name", "gateway", "there is no Secret gateway in the manifests"),
        (GATEWAY, f"{SPEC}.serviceAccountName", "gate", "there is no ServiceAccount gate"),
        (GATEWAY, f"{SPEC}.volumes.0", {"name": "tmp", "secret": {"secretName": "x"}}, "there is no Secret x"),
        ("Service toolyard/gateway", "spec.selector", {"app": "gateway"}, "spec.selector: no pod bears these labels"),
        ("Service toolyard/gateway", "spec.ports.0.targetPort", "web", "Deployment toolyard/gateway has no port web"),
        ("PodDisruptionBudget toolyard/gateway", "spec.selector.matchLabels", {"a": "b"}, "no pod bears these labels"),
        ("NetworkPolicy toolyard/gateway", "spec.podSelector.matchLabels", {"a": "b"}, "no pod bears these labels"),
        (MONITOR, "spec.selector.matchLabels", {"a": "b"}, "spec.selector: no pod bears these labels"),
        (MONITOR, "spec.podMetricsEndpoints.0.port", "metrics", "none of its pods has a port metrics"),
        (
            MONITOR,
            "spec.podMetricsEndpoints.0.port",
            "metrics",
            "Deployment toolyard/gateway is read at none of its ports",
        ),
        ("TriggerAuthentication toolyard/broker", "spec.secretTargetRef.0.key", "user", "has no key user"),
        ("Queue toolyard/toolyard-log", "spec.name", "toolyard.logs", "toolyard.logs is no queue of"),
        ("Queue toolyard/toolyard-log", "spec.name", "toolyard.dead", "is the same queue"),
        ("User toolyard/toolyard-keda", "spec.rabbitmqClusterReference.name", "r", "there is no RabbitmqCluster r"),
        ("User toolyard/toolyard-keda", "spec.importCredentialsSecret.name", "x", "there is no Secret x"),
        ("Permission toolyard/toolyard-keda", "spec.userReference.name", "k", "there is no User k"),
    ],
)
def test_a_name_that_leads_nowhere_is_found(production, document, path, value, what):
    found = said(references.problems, production.put(document, path, value))
    assert any(each.startswith(document) or "is the same queue" in each for each in found), found
    assert any(what in each for each in found), found


# ---- scaling ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("document", "path", "value", "what"),
    [
        (SCALED, f"{METADATA}.queue", "toolyard.call.http", f"{METADATA}.queue: the scaler reads no such field"),
        (SCALED, f"{METADATA}.value", 192, '192 is not a string: write "192"'),
        (SCALED, f"{METADATA}.value", "0", "'0' is not a number over 0"),
        (SCALED, f"{METADATA}.value", "300", "300 calls for each worker, which runs 256 at a time: 256 or fewer"),
        (SCALED, f"{METADATA}.mode", "QueueLenght", "'QueueLenght' is not one of QueueLength"),
        (SCALED, f"{METADATA}.mode", None, f"{METADATA}.mode: is missing"),
        (SCALED, f"{METADATA}.protocol", "amqp", "has to be http: over amqp, calls that run (unacked) are not counted"),
        (SCALED, f"{METADATA}.protocol", "https", "'https' is not http, amqp or auto"),
        (SCALED, f"{METADATA}.operation", "most", "'most' is not sum, avg or max"),
        (SCALED, f"{METADATA}.excludeUnacknowledged", "true", "calls that run have to count"),
        (SCALED, f"{METADATA}.queueName", "toolyard.call.htp", "is not a queue of toolyard.transport.topology"),
        (
            SCALED,
            f"{METADATA}.queueName",
            "toolyard.call.lambda",
            "the pool http takes its calls from toolyard.call.http",
        ),
        (SCALED, f"{METADATA}.host", None, "gives no host, nor does the trigger"),
        (SCALED, "spec.triggers.0.authenticationRef.name", "b", "there is no TriggerAuthentication b"),
        (SCALED, "spec.triggers.0.metricType", "Utilization", "Utilization is for cpu and memory"),
        (SCALED, "spec.scaleTargetRef.name", "worker-htp", "there is no Deployment worker-htp"),
        (SCALED, "spec.scaleTargetRef.name", "worker-lambda", "worker-lambda scales worker-lambda too"),
        (SCALED, "spec.maxReplicaCount", None, "is not said: KEDA would go up to 100"),
        (SCALED, "spec.minReplicaCount", 21, "21 is more than maxReplicaCount, 20"),
        (WORKER, "spec.replicas", 2, f"is what {SCALED} decides: leave it out"),
        (
            "TriggerAuthentication toolyard/broker",
            "spec.secretTargetRef.0.parameter",
            "user",
            "takes no parameter user",
        ),
        ("TriggerAuthentication toolyard/broker", "spec.secretTargetRef.0", None, "given together, or neither"),
    ],
)
def test_what_would_scale_wrongly_without_a_word_is_found(production, document, path, value, what):
    found = said(keda.problems, production.put(document, path, value))
    assert any(what in each for each in found), found


# ---- the network --------------------------------------------------------------------------------
def policy(selector, **spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "more", "namespace": "toolyard"},
        "spec": {"podSelector": selector, **spec},
    }


def of_pool(pool):
    return {"matchLabels": {"toolyard.io/pool": pool}}


def opened(*blocks, pool="sandbox"):
    to = [{"ipBlock": block} for block in blocks]
    return policy(of_pool(pool), policyTypes=["Egress"], egress=[{"to": to}])


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (opened({"cidr": "1.1.1.1/32"}), "worker-sandbox reaches the public address 1.1.1.1 at TCP 443, and must not"),
        (opened({"cidr": "10.0.0.0/8"}, pool="http"), "worker-http reaches the private address 10.0.0.1 at TCP 22"),
        (
            opened({"cidr": "169.254.0.0/16"}, pool="lambda"),
            "worker-lambda reaches the metadata address 169.254.169.254",
        ),
        (opened({"cidr": "::/0"}, pool="arcade"), "worker-arcade reaches the metadata address fd00:ec2::254"),
        (opened({"cidr": "0.0.0.0/0"}, pool="http"), "worker-http reaches the public address 1.1.1.1 at TCP 25"),
        (
            policy(of_pool("http"), policyTypes=["Egress"], egress=[{"to": [{"namespaceSelector": {}}]}]),
            "worker-http reaches a pod of another namespace",
        ),
        (
            policy(of_pool("http"), policyTypes=["Ingress"], ingress=[{}]),
            "a pod of another namespace reaches worker-http at TCP 8081, and must not",
        ),
        (
            policy({"matchLabels": {"app.kubernetes.io/name": "rabbitmq"}}, policyTypes=["Ingress"], ingress=[{}]),
            "a pod of another namespace reaches rabbitmq at TCP 5672, and must not",
        ),
    ],
)
def test_a_policy_that_lets_too_much_through_is_found(production, more, what):
    found = said(network.problems, production.add(more))
    assert any(what in each for each in found), found


@pytest.mark.parametrize(
    ("dropped", "what"),
    [
        ("default-deny", "a pod of another namespace reaches migrate at TCP 22, and must not"),
        ("dns", "worker-http does not reach the cluster's DNS at UDP 53, and has to"),
        ("broker", "worker-http does not reach rabbitmq at TCP 5672, and has to"),
        ("public-addresses", "worker-http does not reach the public address 1.1.1.1 at TCP 443, and has to"),
        ("database", "reaches no database"),
        ("gateway", "a pod of another namespace does not reach gateway at TCP 8080, and has to"),
        ("scraped", "Prometheus does not reach worker-http at TCP 8081, and has to"),
        ("rabbitmq", "worker-http does not reach rabbitmq at TCP 5672, and has to"),
        ("keda", "KEDA does not reach rabbitmq at TCP 15672"),
    ],
)
def test_a_policy_that_is_missing_is_found(production, dropped, what):
    found = said(network.problems, production.drop(f"NetworkPolicy toolyard/{dropped}"))
    assert any(what in each for each in found), found


def test_nobody_but_those_who_keep_calls_reaches_the_database(dev):
    more = policy(of_pool("http"), policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}]}])
    open_to_all = policy(
        {"matchLabels": {"app.kubernetes.io/name": "postgres"}}, ingress=[{"from": [{"podSelector": {}}]}]
    )
    found = said(network.problems, dev.add(more).add(open_to_all))
    assert any("worker-http reaches postgres at TCP 5432, and must not" in each for each in found), found
    assert not any("gateway reaches postgres" in each for each in found)


def test_the_sandbox_reaches_public_addresses_with_its_component_alone(rendered):
    reached = {}
    for name, manifests in rendered.items():
        table = network.Table(manifests)
        sandbox = next(peer for peer in table.parts if peer.does == ("worker", "sandbox"))
        reached[name] = [table.network.passes(sandbox, each, 443) for each in network.PUBLIC]
        assert not any(table.network.passes(sandbox, each, 443) for each in network.CLOSED)
    assert reached == {"dev": [True] * 3, "production": [False] * 3}
