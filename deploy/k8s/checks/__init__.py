"""Checks the manifests of `deploy/k8s`: `make manifests`.

Every overlay is rendered, and every document looked at: by the schemas of Kubernetes and of the operators, by policies,
and against what the code knows of itself (its settings, its queues, its ports, how long it drains).
"""
