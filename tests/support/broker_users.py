"""A vhost with the shipped definitions in it: exchanges, queues, bindings, and a user for each part with its rights."""

import json
from pathlib import Path
from urllib.parse import quote, urlsplit

from tests.support.rabbit import RabbitNode

from toolyard.cli import broker_users, topology
from toolyard.transport.rights import every_part


class Users:
    """The parts' users at a private broker, in a vhost of their own."""

    def __init__(self, node: RabbitNode, vhost: str, folder: Path) -> None:
        self.node = node
        self.vhost = vhost
        self.admin = node.add_vhost(vhost)
        self.prefix = f"{vhost}-"
        self.passwords = broker_users.passwords()
        shipped = topology.definitions(vhost) | broker_users.definitions(vhost, self.prefix, self.passwords)
        file = folder / f"{vhost}.json"
        file.write_text(json.dumps(shipped))
        node.ctl("import_definitions", str(file))

    def url(self, part: str) -> str:
        """The URL with which a part signs in."""
        password = self.passwords[broker_users.variable(part)]
        where = urlsplit(self.admin)
        login = f"{quote(self.prefix + part, safe='')}:{quote(password, safe='')}"
        return f"amqp://{login}@{where.hostname}:{where.port}{where.path}"

    def remove(self) -> None:
        """Take away the vhost and the users."""
        self.node.delete_vhost(self.vhost)
        for rights in every_part():
            self.node.ctl("delete_user", self.prefix + rights.part)
