"""Which worker has which device: rows of a database that expire, so that no two share one."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import LeaseError, OptionError
from edge_tester.core.search.databases import engine_options, reason_of

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
    tell : callable
        Is told if it takes a while to see whether those who have the devices are alive.

    Raises
    ------
    OptionError
        The database cannot be used, or is of a kind whose clock is not known here.
    LeaseError
        Others have all of them and are alive; the message says who.
    """

    def __init__(
        self,
        address: str,
        devices: Sequence[str],
        lease_s: float,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._sql: Any = backend("sqlalchemy", _OWNER)
        self._engine = self._sql.create_engine(address, **engine_options(address))
        kind = self._engine.dialect.name
        if kind not in _CLOCKS:
            raise OptionError(
                f"'storage' must be a database of {', '.join(_CLOCKS)}, got one of {kind}."
            )
        self._now = _CLOCKS[kind]
        self._lease_s = lease_s
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._closing = threading.Event()
        self._lost = ""
        self._held_until_s = 0.0
        try:
            self._prepare()
            self.device = self._taken(devices, tell)
        except self._sql.exc.SQLAlchemyError as error:
            raise OptionError(f"'storage' cannot be used: {reason_of(error)}") from error
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
        while not self._lost and not self._extended():
            time.sleep(self._pause_s)
        if self._lost:
            raise LeaseError(f"{self.device} is no longer this worker's: {self._lost}.")

    def workers(self) -> set[str]:
        """Return the workers that have a device now, by what their ``worker`` is."""
        rows = self._run(f"SELECT token FROM {_TABLE} WHERE expires_s >= {self._now}")
        return {token for (token,) in rows}

    def close(self) -> None:
        """Let others have the device."""
        self._closing.set()
        self._renewing.join()
        # Where the database is gone, it is free when the lease has expired.
        with contextlib.suppress(self._sql.exc.SQLAlchemyError):
            self._run(f"DELETE FROM {_TABLE} WHERE token = :token", token=self.worker)
        self._engine.dispose()

    def __enter__(self) -> Lease:
        """Return itself."""
        return self

    def __exit__(self, *unused: object) -> None:
        """Let others have the device."""
        self.close()

    @property
    def _pause_s(self) -> float:
        return min(1.0, self._lease_s / 10)

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
        except self._sql.exc.DBAPIError:
            # Two workers may begin in the same moment: then the other one has made it.
            if not self._sql.inspect(self._engine).has_table(_TABLE):
                raise

    def _taken(self, devices: Sequence[str], tell: Callable[[str], None]) -> str:
        """Take a device; of others that have them all, see first whether they renew."""
        first = self._rows(devices)
        told = False
        while True:
            for device in devices:
                if self._take(device):
                    return device
            rows = self._rows(devices)
            who = ", ".join(f"{device} is that of {row[0]}" for device, row in rows.items())
            if len(rows) == len(devices) and all(rows[one] != first.get(one) for one in rows):
                raise LeaseError(f"every device is in use by another worker: {who}.")
            if not told:
                tell(f"Waiting to see whether the holders are alive: {who}")
                told = True
            time.sleep(self._pause_s)

    def _rows(self, devices: Sequence[str]) -> dict[str, tuple[str, float]]:
        rows = self._run(f"SELECT device, token, expires_s FROM {_TABLE}")
        found = {device: (token, expires) for device, token, expires in rows}
        return {device: found[device] for device in devices if device in found}

    def _take(self, device: str) -> bool:
        begun_s = time.monotonic()
        values = {"token": self.worker, "lease": self._lease_s, "device": device}
        taken = self._run(
            f"UPDATE {_TABLE} SET token = :token, expires_s = {self._now} + :lease "
            f"WHERE device = :device AND expires_s < {self._now}",
            **values,
        )
        if not taken:
            try:
                self._run(
                    f"INSERT INTO {_TABLE} (device, token, expires_s) "
                    f"VALUES (:device, :token, {self._now} + :lease)",
                    **values,
                )
            except self._sql.exc.IntegrityError:
                # Somebody has it.
                return False
        self._held_until_s = begun_s + self._lease_s
        return True

    def _renew(self) -> None:
        while not self._lost and not self._closing.wait(self._lease_s / 3):
            self._extended()

    def _extended(self) -> bool:
        """Renew the lease; tell whether that was possible, which it may be later."""
        begun_s = time.monotonic()
        try:
            changed = self._run(
                f"UPDATE {_TABLE} SET expires_s = {self._now} + :lease "
                f"WHERE token = :token AND expires_s >= {self._now}",
                token=self.worker,
                lease=self._lease_s,
            )
        except self._sql.exc.SQLAlchemyError as error:
            if begun_s > self._held_until_s:
                self._lost = f"the database does not answer: {reason_of(error)}"
            return False
        if changed:
            self._held_until_s = begun_s + self._lease_s
            return True
        # Another worker may have had it meanwhile.
        self._lost = f"it was not renewed for {self._lease_s:g} s"
        return False

    def _run(self, statement: str, **values: Any) -> Any:
        """Run a statement in a transaction of its own; return rows, or how many were changed."""
        with self._engine.begin() as connection:
            result = connection.execute(self._sql.text(statement), values)
            return result.fetchall() if result.returns_rows else result.rowcount
