"""What checkov finds is mended or explained, and an explanation explains something."""

from deploy.k8s.checks import policy
from deploy.k8s.checks.policy import Finding

FOUND = Finding("production", "Deployment.toolyard.gateway", "CKV_K8S_11", "CPU limits should be set")


def said(found, reasons):
    return [str(problem) for problem in policy.problems(found, reasons)]


def test_what_nobody_explains_is_wrong():
    where, what = "production: Deployment.toolyard.gateway: CKV_K8S_11", "CPU limits should be set"
    assert said([FOUND], {}) == [f"{where}: {what}: mend it, or say in policies.yaml why it stays"]
    assert len(said([FOUND], {"CKV_K8S_11": {"Deployment.toolyard.scheduler": "It is idle."}})) == 2


def test_what_is_explained_is_right():
    assert said([FOUND], {"CKV_K8S_11": {"Deployment.*": "A limit stops who has work."}}) == []


def test_an_explanation_of_nothing_is_wrong():
    reasons = {"CKV_K8S_11": {"*": "A limit stops who has work."}, "CKV_K8S_8": {"Job.*": "A Job ends by itself."}}
    assert said([FOUND], reasons) == [
        "policies.yaml: CKV_K8S_8: Job.*: nothing is found there any more: take the line out"
    ]


def test_an_explanation_without_a_reason_is_wrong():
    assert said([FOUND], {"CKV_K8S_11": {"*": " "}}) == ["policies.yaml: CKV_K8S_11: *: has no reason"]


def test_checkov_looks_at_what_is_rendered(production):
    security = "spec.template.spec.securityContext"
    changed = production.put("Deployment toolyard/gateway", f"{security}.seccompProfile", None)
    found = policy.findings({"production": changed.manifests})
    (unexplained,) = [each for each in policy.problems(found, policy.explained()) if each.field == "CKV_K8S_31"]
    assert unexplained.document == "production: Deployment.toolyard.gateway"
    assert unexplained.what.startswith("Ensure that the seccomp profile is set")
