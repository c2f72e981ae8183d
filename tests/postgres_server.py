"""A PostgreSQL server for tests, on a free port of loopback, which ends with the block that asked for it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import adbc_driver_postgresql.dbapi as driver
import pytest

PASSWORD = "s3cret-Pw"  # noqa: S105 - of a server that lives as long as a test
ATTEMPTS, START_S = 5, 60.0


class Server(NamedTuple):
    """Where one listens."""

    port: int

    @property
    def string(self) -> str:
        return f"postgresql://owner:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def execute(self, *statements: str) -> None:
        with driver.connect(self.string, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def server(repository: Path) -> Iterator[Server]:
    """A new, empty one; skips the test where PostgreSQL is not there and cannot be installed."""
    found = subprocess.run([repository / "scripts" / "postgresql.sh"], check=False, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(found.stderr.strip().splitlines()[-1])
    programs, folder = Path(found.stdout.strip()), Path(tempfile.mkdtemp(prefix="privsdk-postgresql-"))
    as_who: dict[str, Any] = {}
    if os.geteuid() == 0:  # as whom it does not run
        user = pwd.getpwnam("postgres" if "postgres" in {each.pw_name for each in pwd.getpwall()} else "nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    try:
        (folder / "password").write_text(PASSWORD)
        options = ["--auth", "scram-sha-256", "--username", "owner", "--pwfile", folder / "password", "--no-sync"]
        command = [programs / "initdb", "--pgdata", folder / "data", "--encoding", "UTF8", "--locale", "C", *options]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **as_who)
        with listening(programs, folder, as_who) as started:
            yield started
    finally:
        shutil.rmtree(folder)


@contextmanager
def listening(programs: Path, folder: Path, as_who: dict[str, Any]) -> Iterator[Server]:
    """Of these data; on another port where somebody else took the free one."""
    for _ in range(ATTEMPTS):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            there = Server(free.getsockname()[1])
        options = ["-h", "127.0.0.1", "-p", str(there.port), "-k", "", "-F"]
        command = [programs / "postgres", "-D", folder / "data", *options]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **as_who
        ) as process:
            try:
                if answers(there, process):
                    yield there
                    return
            finally:
                process.send_signal(signal.SIGINT)  # without waiting for who is connected
    raise AssertionError("PostgreSQL does not start")


def answers(there: Server, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(driver.Error):
            driver.connect(there.string).close()
            return True
        time.sleep(0.05)
    return False
