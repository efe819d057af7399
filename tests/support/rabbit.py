"""A private RabbitMQ node: the locally installed server on free ports, everything it writes in a temporary folder.

Started by the fixtures of tests/conftest.py, and by fault drills, which stop, kill, freeze and block it.
It knows nothing of the project's queues.
"""

import contextlib
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from tests.support.node import Node
from tests.support.processes import Process, ServerMissingError, free_port
from tests.support.waiting import wait_until

INSTALL = "install a RabbitMQ server, for example: apt-get install rabbitmq-server"
START_WITHIN = 120.0
STOP_WITHIN = 40.0
#: Seconds for one command, each of which begins a runtime of its own: long on a machine whose cores are all taken.
ANSWER_WITHIN = 180.0

SCRIPT_FOLDERS = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/usr/local/lib/rabbitmq_server-*/sbin",
    "/usr/local/sbin",
    "/opt/rabbitmq/sbin",
    "/opt/rabbitmq_server-*/sbin",
)
DEFAULT_CONFIG = {
    "loopback_users.guest": "true",
    "vm_memory_high_watermark.absolute": "2GB",
    "disk_free_limit.absolute": "50MB",
    "log.console": "true",
    "log.console.level": "info",
    "log.file": "false",
}
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


class RabbitNode(Node):
    """One node, its name, ports and data kept from start to start until `discard`.

    Args:
        config: Lines of rabbitmq.conf on top of `DEFAULT_CONFIG`.
        management: With its HTTP API, at `management_url`.
    """

    user = password = "guest"

    def __init__(
        self, *, config: Mapping[str, str] | None = None, schedulers: int = 1, management: bool = False
    ) -> None:
        self._schedulers = schedulers
        self._management = management
        self._scripts = find_scripts()
        self._config = {**DEFAULT_CONFIG, **(config or {})}
        self._epmd: Process | None = None
        super().__init__("rabbit")

    # -- its life ---------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kills (SIGKILL) the node and its epmd; the data stays, as after a power cut of the process."""
        super().kill()
        if self._epmd:
            self._epmd.kill()
        self._epmd = None

    def flush(self) -> None:
        """Writes down the names of new quorum queues.

        The node does that by itself about once a second; a quorum queue younger than that stays down for ever after
        `kill` (seen with 3.10.8), so a drill that declares one and kills the node at once calls this between.
        """
        self.evaluate("[ok = dets:sync(Table) || Table <- dets:all()]")

    # -- its addresses ----------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id of the Erlang machine itself, not of the script that started it."""
        return int((self.folder / "node.pid").read_text())

    def url(self, vhost: str = "/") -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    @property
    def management_url(self) -> str:
        """Where its HTTP API is, if it was asked for."""
        return f"http://127.0.0.1:{self._management_port}"

    # -- its administration -----------------------------------------------------------------------

    def ctl(self, *args: str) -> str:
        """Runs rabbitmqctl against this node and returns what it prints."""
        return self._run([self._scripts / "rabbitmqctl", "--quiet", "-n", self.name, *args])

    def write_ctl(self, file: Path) -> None:
        """Writes a program that is `rabbitmqctl` of this node, for whoever types commands in a shell."""
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in self._environment().items())
        command = f'exec env -i {given} {self._scripts / "rabbitmqctl"} --quiet -n {self.name} "$@"'
        file.write_text(f"#!/bin/sh\n{command}\n")
        file.chmod(0o755)

    def evaluate(self, expression: str) -> str:
        """Runs an Erlang expression inside the node: by erl_call where it is installed (fast), else by rabbitmqctl."""
        program = shutil.which("erl_call")
        if program is None:
            return self.ctl("eval", f"{expression}.").strip()
        answer = self._run([program, "-n", self.name, "-e"], stdin=f"{expression}.\n")
        done = re.fullmatch(r"\{ok, (.*)\}", answer.strip(), re.DOTALL)
        if done is None:
            raise RuntimeError(f"the node could not run {expression!r}: {answer}")
        return done[1]

    def add_vhost(self, name: str) -> str:
        """Makes a vhost with all rights for the default user and returns its URL."""
        vhost, user, every = _binary(name), _binary(self.user), _binary(".*")
        self.evaluate(
            f"ok = rabbit_vhost:add({vhost}, {user}), "
            f"ok = rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {every}, {every}, {every}, {user})"
        )
        return self.url(name)

    def delete_vhost(self, name: str) -> None:
        """Closes what is still connected to a vhost, then deletes it with all it holds."""
        self.close_connections("the vhost is being deleted", vhost=name)
        self.evaluate(f"ok = rabbit_vhost:delete({_binary(name)}, {_binary(self.user)})")

    def close_connections(self, reason: str, *, vhost: str | None = None) -> int:
        """Makes the node close its client connections (of one vhost, or all); returns how many.

        The clients are told 320 CONNECTION_FORCED with the reason. One whose channels take too long to end, on a busy
        machine, is ended all the same, and keeps no other one open.
        """
        chosen = "_" if vhost is None else _binary(vhost)
        closed = self.evaluate(
            f"length([catch rabbit_networking:close_connection(P, {_binary(reason)}) || "
            f"[{{pid, P}}, {{vhost, {chosen}}}] <- rabbit_networking:connection_info_all([pid, vhost])])"
        )
        return int(closed)

    def block(self) -> None:
        """Raises the memory alarm: the node stops reading from connections that publish."""
        self._set_watermark("{absolute, 1000000}", alarm=True)

    def unblock(self) -> None:
        """Takes the memory alarm back."""
        limit = self._config["vm_memory_high_watermark.absolute"]
        self._set_watermark(f'{{absolute, "{limit}"}}', alarm=False)

    @contextlib.contextmanager
    def blocked(self) -> Iterator[None]:
        """The alarm inside the `with`, none after it whatever happened."""
        self.block()
        try:
            yield
        finally:
            self.unblock()

    # -- inside -----------------------------------------------------------------------------------

    def _set_watermark(self, value: str, *, alarm: bool) -> None:
        self.evaluate(f"ok = vm_memory_monitor:set_vm_memory_high_watermark({value})")
        wait_until(
            lambda: ("resource_limit" in self.evaluate("rabbit_alarm:get_alarms()")) is alarm,
            within=60,
            what=f"the memory alarm of {self.name} {'on' if alarm else 'off'}",
        )

    def _choose_ports(self) -> None:
        self.port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self._management_port = free_port()
        self.name = f"t{self.port}@localhost"

    def _end(self, server: Process) -> None:
        server.terminate(within=STOP_WITHIN)

    def _start(self) -> None:
        self._write_files()
        self._epmd = Process(
            [_epmd_program(), "-port", str(self._epmd_port), "-address", "127.0.0.1"],
            env=self._environment(),
            inherit=False,
            log=self.folder / "epmd.log",
        )
        self._epmd.wait_for(lambda: _answers(self._epmd_port), what="epmd to listen", within=START_WITHIN)
        self._server = Process(
            [self._scripts / "rabbitmq-server"],
            env=self._environment(),
            inherit=False,
            cwd=self.folder,
            log=self.folder / "node.log",
        )
        self._server.wait_for(lambda: _speaks_amqp(self.port), what=f"AMQP on {self.port}", within=START_WITHIN)
        self._server.wait_for(self._booted, what="the end of the boot", within=START_WITHIN)

    def _booted(self) -> bool:
        try:
            return self.evaluate("rabbit:is_running()") == "true"
        except RuntimeError:  # it does not listen to its administrators yet, or is about to end
            return False

    def _write_files(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(16))
            cookie.chmod(0o400)
        (self.folder / "rabbitmq-env.conf").touch()  # an empty one, or the system's is read
        plugins = "rabbitmq_management" if self._management else ""
        (self.folder / "enabled_plugins").write_text(f"[{plugins}].\n")
        (self.folder / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in self._lines()))

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield "listeners.tcp.1", f"127.0.0.1:{self.port}"
        if self._management:
            yield "management.tcp.ip", "127.0.0.1"
            yield "management.tcp.port", str(self._management_port)
        yield from self._config.items()

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "HOME": str(folder),  # holds the cookie
            "PATH": f"{os.environ.get('PATH', '')}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(folder),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_PID_FILE": str(folder / "node.pid"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
                (
                    f"+S {self._schedulers}:{self._schedulers} +sbwt none +sbwtdcpu none +sbwtdio none",
                    "-kernel inet_dist_use_interface {127,0,0,1}",
                )
            ),
        }

    def _run(self, args: Sequence[str | Path], *, stdin: str = "") -> str:
        done = subprocess.run(  # a failure is reported below, with what the program printed
            args,
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{args[0]} {args[1:]} ended with {done.returncode}: {done.stdout}{done.stderr}".strip())
        return done.stdout


def find_scripts() -> Path:
    """The folder of the server's own scripts. Distributions put wrappers on the PATH that insist on their own user."""
    on_path = shutil.which("rabbitmq-server")
    beside_path = [Path(on_path).resolve().parent] if on_path else []
    globbed = [found for pattern in SCRIPT_FOLDERS for found in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    for folder in [*beside_path, *globbed]:
        if (folder / "rabbitmq-env").is_file() and (folder / "rabbitmq-server").is_file():
            return folder
    raise ServerMissingError(f"no RabbitMQ server on this machine; {INSTALL}")


def _epmd_program() -> str:
    program = shutil.which("epmd")
    found = sorted(Path("/usr").glob("lib*/erlang/erts-*/bin/epmd"), reverse=True)
    if program is None and not found:
        raise ServerMissingError(f"no Erlang (epmd) on this machine; {INSTALL}")
    return program or str(found[0])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _speaks_amqp(port: int) -> bool:
    """True when the node answers the protocol header with a method frame (connection.start)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as peer:
            peer.sendall(PROTOCOL_HEADER)
            return peer.recv(1) == b"\x01"
    except OSError:
        return False


def _binary(text: str) -> str:
    """A Python string as an Erlang binary."""
    return f'<<"{text.translate({ord(char): chr(92) + char for char in chr(34) + chr(92)})}"/utf8>>'
