"""A private PostgreSQL cluster: the locally installed server on a free port, its data in a temporary folder.

Started by the fixtures of tests/conftest.py, and by fault drills, which stop, kill and freeze it.
It knows nothing of the project's tables.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from tests.support.node import Node
from tests.support.processes import Process, ProcessError, ServerMissingError, free_port

INSTALL = "install a PostgreSQL server, for example: apt-get install postgresql"
START_WITHIN = 120.0
STOP_WITHIN = 30.0

PROGRAM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
DEFAULT_CONFIG = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "128MB",
    "min_wal_size": "32MB",
    "autovacuum_naptime": "10s",
    "fsync": "off",  # no test cuts the power, and what was written survives the death of every process all the same
    "full_page_writes": "off",
}


class PostgresNode(Node):
    """One cluster, its address and data kept from start to start until `discard`.

    Args:
        config: Settings on top of `DEFAULT_CONFIG`.
    """

    user = "toolyard"

    def __init__(self, *, config: Mapping[str, str] | None = None) -> None:
        self._programs = find_programs()
        self._config = {**DEFAULT_CONFIG, **(config or {})}
        super().__init__("postgres")
        self._identity = _server_identity()
        if self._identity:
            os.chown(self.folder, self._identity["user"], self._identity["group"])

    def restart(self) -> None:
        """Stops in good order and starts again: same address, same data."""
        self.stop()
        self.start()

    # -- its use ----------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self._running().pid

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Makes an empty database of its own name and returns its URL."""
        return create_database(self.url())

    def drop_database(self, url: str) -> None:
        """Drops a database made by `create_database`, ending what is still connected to it."""
        drop_database(self.url(), url)

    def back_up(self, url: str, file: Path) -> None:
        """Writes what one of its databases holds now to a file."""
        self._tool("pg_dump", "--format=custom", f"--file={file}", url)

    def restore(self, url: str, file: Path) -> None:
        """Makes a database again what `back_up` found, in one transaction."""
        options = ("--clean", "--if-exists", "--single-transaction")
        self._tool("pg_restore", *options, f"--dbname={url}", str(file))

    # -- inside -----------------------------------------------------------------------------------

    def _choose_ports(self) -> None:
        self.port = free_port()

    def _end(self, server: Process) -> None:
        server.end_by(signal.SIGINT, within=STOP_WITHIN)  # sessions are ended, the data is written

    def _make_cluster(self) -> None:
        if (self.folder / "data" / "PG_VERSION").exists():
            return
        initdb = self._run("initdb", "-D", "data", "-U", self.user, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        if code := initdb.wait(within=START_WITHIN):
            raise ProcessError(f"initdb ended with {code}:\n{initdb.tail()}")
        initdb.kill()

    def _start(self) -> None:
        self._make_cluster()
        settings = {**self._config, "port": str(self.port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._server = self._run("postgres", "-D", "data", *options)
        self._server.wait_for(self._answers, what=f"a query to be answered on {self.port}", within=START_WITHIN)

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                return connection.execute("select 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    def _run(self, program: str, *args: str) -> Process:
        return Process(
            [self._programs / program, *args],
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "TMPDIR": str(self.folder), "TZ": "UTC"},
            inherit=False,
            cwd=self.folder,
            log=self.folder / f"{program}.log",
            identity=self._identity,
        )

    def _tool(self, *command: str) -> None:
        done = subprocess.run([self._programs / command[0], *command[1:]], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProcessError(f"{command[0]} ended with {done.returncode}:\n{done.stderr}")


def create_database(server_url: str) -> str:
    """Makes an empty database through the one that `server_url` names, and returns the new one's URL."""
    name = f"toolyard_{secrets.token_hex(6)}"
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


def drop_database(server_url: str, url: str) -> None:
    """Drops a database that `create_database` made, ending what is still connected to it."""
    name = urlsplit(url).path.lstrip("/")
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def find_programs() -> Path:
    """The folder that holds `initdb` and `postgres`; distributions keep it off the PATH."""
    found = [Path(program).resolve().parent for program in (shutil.which("postgres"),) if program]
    found += [path for pattern in PROGRAM_FOLDERS for path in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    for folder in found:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise ServerMissingError(f"no PostgreSQL server on this machine; {INSTALL}")


def _server_identity() -> dict[str, Any]:
    """Popen's arguments for the user to run as: PostgreSQL refuses root, anyone else runs it as himself."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise ServerMissingError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")
