"""The PostgreSQL launcher: quick, private, and gone when its owner is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.workspace.postgres import Postgres, binaries

pytestmark = pytest.mark.skipif(binaries() is None, reason="no PostgreSQL binaries")

ORPHAN = """
import os
from tests.workspace.postgres import Postgres
server = Postgres()
print(server.host, server.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_it_starts_in_under_two_seconds_and_leaves_nothing() -> None:
    with Postgres() as pg:
        assert pg.seconds_to_start < 2 or os.getloadavg()[0] > 2
        assert pg.execute("SELECT 1") == [(1,)]
    assert not Path(pg.host).exists()


def test_a_rotated_password_shuts_out_the_old_one() -> None:
    with Postgres() as pg:
        pg.create_role("someone@example.com", "first")
        psycopg.connect(pg.dsn(user="someone@example.com", password="first")).close()
        pg.create_role("someone@example.com", "second")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(pg.dsn(user="someone@example.com", password="first"))
        psycopg.connect(pg.dsn(user="someone@example.com", password="second")).close()


def test_it_dies_with_a_killed_parent() -> None:
    done = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    directory, pid = done.stdout.split()
    deadline = time.monotonic() + 10
    while (Path(directory).exists() or psutil.pid_exists(int(pid))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(directory).exists()
    assert not psutil.pid_exists(int(pid))
