"""Which worker has which device: rows of a database that expire, so that no two share one."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import LeaseError, OptionError

_TABLE = "edge_tester_leases"
# The database's own clock [s]: those of the workers' machines differ.
_CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())",
    "mysql": "unix_timestamp(now(6))",
}
_OWNER = "edge-tester"


class Lease:
    """The right to measure on one of several devices, for as long as it is renewed.

    Parameters
    ----------
    address : str
        Of the database, as SQLAlchemy has them.
    devices : sequence of str
        Names of those that will do; the first that is free is taken.
    lease_s : float
        Time after which it is free again if nobody renews it [s]; renewed after a third of that.

    Raises
    ------
    OptionError
        The database is of a kind whose clock is not known here.
    LeaseError
        Others have all of them; the message says who.
    """

    def __init__(self, address: str, devices: Sequence[str], lease_s: float) -> None:
        self._sql: Any = backend("sqlalchemy", _OWNER)
        self._engine = self._sql.create_engine(address)
        kind = self._engine.dialect.name
        if kind not in _CLOCKS:
            raise OptionError(
                f"'storage' must be a database of {', '.join(_CLOCKS)}, got one of {kind}."
            )
        self._now = _CLOCKS[kind]
        self._lease_s = lease_s
        self._token = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._closing = threading.Event()
        self._lost = ""
        self._prepare()
        self.device = self._taken(devices)
        self._renewing = threading.Thread(target=self._renew, daemon=True)
        self._renewing.start()

    def require_held(self) -> None:
        """See that the device was this worker's until now.

        Raises
        ------
        LeaseError
            It was not: the process was stopped for longer than the lease, or the database gone.
            What was measured since may have been disturbed by another worker.
        """
        if not self._lost:
            self._extend()
        if self._lost:
            raise LeaseError(f"{self.device} is no longer this worker's: {self._lost}.")

    def close(self) -> None:
        """Let others have the device."""
        self._closing.set()
        self._renewing.join()
        if not self._lost:
            self._run(f"DELETE FROM {_TABLE} WHERE token = :token", token=self._token)
        self._engine.dispose()

    def __enter__(self) -> Lease:
        """Return itself."""
        return self

    def __exit__(self, *unused: object) -> None:
        """Let others have the device."""
        self.close()

    def _prepare(self) -> None:
        table = self._sql.Table(
            _TABLE,
            self._sql.MetaData(),
            self._sql.Column("device", self._sql.String(200), primary_key=True),
            self._sql.Column("token", self._sql.String(200), nullable=False),
            self._sql.Column("expires_s", self._sql.Float(53), nullable=False),
        )
        try:
            table.create(self._engine, checkfirst=True)
        except (self._sql.exc.ProgrammingError, self._sql.exc.OperationalError) as error:
            # Two workers may begin in the same moment: then the other one has made it.
            if not self._sql.inspect(self._engine).has_table(_TABLE):
                raise OptionError(f"'storage' cannot be used: {_first_line(error)}") from error
        except self._sql.exc.IntegrityError:
            # The same, as PostgreSQL tells it.
            return

    def _taken(self, devices: Sequence[str]) -> str:
        for device in devices:
            if self._take(device):
                return device
        rows = self._run(f"SELECT device, token FROM {_TABLE}")
        holders = {device: token for device, token in rows if device in devices}
        who = ", ".join(f"{device} is that of {token}" for device, token in holders.items())
        raise LeaseError(f"every device is in use by another worker: {who}.")

    def _take(self, device: str) -> bool:
        changed = self._run(
            f"UPDATE {_TABLE} SET token = :token, expires_s = {self._now} + :lease "
            f"WHERE device = :device AND expires_s < {self._now}",
            token=self._token,
            lease=self._lease_s,
            device=device,
        )
        if changed:
            return True
        try:
            self._run(
                f"INSERT INTO {_TABLE} (device, token, expires_s) "
                f"VALUES (:device, :token, {self._now} + :lease)",
                device=device,
                token=self._token,
                lease=self._lease_s,
            )
        except self._sql.exc.IntegrityError:
            # Somebody has it.
            return False
        return True

    def _renew(self) -> None:
        while not self._lost and not self._closing.wait(self._lease_s / 3):
            self._extend()

    def _extend(self) -> None:
        try:
            changed = self._run(
                f"UPDATE {_TABLE} SET expires_s = {self._now} + :lease "
                f"WHERE token = :token AND expires_s >= {self._now}",
                token=self._token,
                lease=self._lease_s,
            )
        except self._sql.exc.SQLAlchemyError as error:
            self._lost = f"the database does not answer: {_first_line(error)}"
            return
        if not changed:
            self._lost = f"it was not renewed for {self._lease_s:g} s"

    def _run(self, statement: str, **values: Any) -> Any:
        """Run a statement in a transaction of its own; return rows, or how many were changed."""
        with self._engine.begin() as connection:
            result = connection.execute(self._sql.text(statement), values)
            return result.fetchall() if result.returns_rows else result.rowcount


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
