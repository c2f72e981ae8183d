"""Real parties for tests: a server process each on loopback, with certificates and a federation.toml."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from privsdk.governance.charges import Budget
from privsdk.deploy.open import WORKSHOP_BUDGET, WORKSHOP_POLICY
from privsdk.deploy.config import PartyConfig, ServedTable, Tls
from privsdk.governance.policy import Policy
from privsdk.transport.identities import make_certificates

ANALYST = "analyst"


class Cluster:
    """Server processes for `tables`, by party and table name; a context manager that ends them."""

    def __init__(
        self,
        folder: Path,
        tables: Mapping[str, Mapping[str, pa.Table]],
        *,
        policy: Policy | Mapping[str, Policy] = WORKSHOP_POLICY,
        budget: Budget = WORKSHOP_BUDGET,
        purpose: str = "workshop",
    ) -> None:
        self.folder = folder
        self.federation = folder / "federation.toml"
        self._names = list(tables)
        self._purpose = purpose
        self.addresses: dict[str, str] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        make_certificates(folder, [*tables, ANALYST])
        for name, held in tables.items():
            served = {}
            for table, data in held.items():
                pq.write_table(data, folder / f"{name}.{table}.parquet")
                served[table] = ServedTable(path=f"{name}.{table}.parquet")
            config = PartyConfig(
                name=name,
                listen="grpc+tls://127.0.0.1:0",
                ledger=f"{name}.sqlite",
                federation="federation.toml",
                tls=Tls(authority="ca.pem", certificate=f"{name}.pem", key=f"{name}.key"),
                tables=served,
                policy=policy[name] if isinstance(policy, Mapping) else policy,
                budgets={"*": budget},
            )
            (folder / f"{name}.toml").write_bytes(msgspec.toml.encode(_without_nulls(msgspec.to_builtins(config))))

    def __enter__(self) -> Cluster:
        try:
            for name in self._names:
                self.start(name)
            for name in self._names:
                self.await_address(name)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._processes):
            self.stop(name)

    def start(self, name: str, **environment: str) -> None:
        """Start a party's process; `await_address` waits until it serves."""
        with (self.folder / f"{name}.log").open("a") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "privsdk", "serve", str(self.folder / f"{name}.toml")],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **environment},
            )

    def await_address(self, name: str) -> None:
        stdout = self._processes[name].stdout
        assert stdout is not None
        line = stdout.readline()
        assert " listens on " in line, self.log(name)
        self.addresses[name] = line.strip().rpartition(" ")[2]
        self._write_federation()

    def stop(self, name: str) -> int:
        """End a party's process if it still runs; returns its exit code."""
        process = self._processes.pop(name)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert process.stdout is not None
        process.stdout.close()
        return code

    def kill(self, name: str) -> None:
        """End a party's process as by kill -9."""
        self._processes[name].kill()
        self.stop(name)

    def ended(self, name: str) -> int | None:
        """The exit code of a party's process, None while it runs."""
        return self._processes[name].poll()

    def await_end(self, name: str, timeout_s: float) -> int | None:
        """The exit code of a party's process once it has ended, None if it still runs."""
        try:
            return self._processes[name].wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def federation_as(self, name: str) -> Path:
        """A federation.toml in the name of another certificate in the folder."""
        path = self.folder / f"federation-{name}.toml"
        path.write_bytes(self._federation(name))
        return path

    def _write_federation(self) -> None:
        temporary = self.folder / "federation.new"
        temporary.write_bytes(self._federation(ANALYST))
        temporary.replace(self.federation)

    def _federation(self, name: str) -> bytes:
        analyst = {"purpose": self._purpose, "authority": "ca.pem", "certificate": f"{name}.pem", "key": f"{name}.key"}
        return msgspec.toml.encode({"parties": self.addresses, "analyst": analyst})


def _without_nulls(value: Any) -> Any:
    """TOML has none: what is not set is left out."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list | tuple) else value
