"""The transport over RabbitMQ: pika carries the messages, dramatiq frames the workers.

Neither is named outside this folder; the others import `RabbitTransport`, or better `toolyard.transport.connect`.
"""

from toolyard.transport.rabbitmq.transport import RabbitTransport

__all__ = ["RabbitTransport"]
