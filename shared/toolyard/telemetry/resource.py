"""Who speaks to the collector: the resource of everything that a process exports. Loads the SDK; see `export`."""

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from toolyard import __version__


def resource_of(service: str, instance: str) -> Resource:
    """The resource of a process; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` have the last word."""
    own = {
        "service.name": f"toolyard-{service}",
        "service.namespace": "toolyard",
        "service.version": __version__,
        "service.instance.id": instance,
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())
