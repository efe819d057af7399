"""The transport of one process without a broker: queues in memory, the log in a journal that outlives the process."""

from toolyard.transport.embedded.journal import Journal
from toolyard.transport.embedded.transport import EmbeddedTransport

__all__ = ["EmbeddedTransport", "Journal"]
