"""A phone behind the Android Debug Bridge, on which an agent runs in Termux."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from edge_tester.core import registry
from edge_tester.core.errors import LocalProtocolError, OptionError, UnreachableError
from edge_tester.core.options import option, state
from edge_tester.core.runtimeprotocol import Listener, RuntimeProtocol
from edge_tester.core.system.text import printable

_ADDRESS = re.compile(r"adb://([^\s/-][^\s/]*)?/?")
# The first call starts adb's own server.
_LIMIT_S = 30.0
# What adb says, and what helps. Source: messages of the Android Debug Bridge 1.0.41
# (adb/transport.cpp).
_CAUSES = (
    (
        "no devices",
        "no device is connected: plug it in, and switch on USB debugging in its developer options",
    ),
    ("unauthorized", "the device does not trust this machine: confirm the question on its screen"),
    ("more than one", "several devices are connected: name one of them, as in adb://SERIAL"),
    ("not found", "no device of this serial number is connected"),
    ("offline", "the device does not answer: plug it in again"),
)


class AdbProtocol(RuntimeProtocol):
    """Forwards a port of this machine to an agent on a phone, by adb."""

    several = True
    scheme = "adb"
    address_forms = ("adb://serial",)

    serial: str = option("", help="Serial number, as adb devices lists it; empty for the only one")
    port: int = option(
        12345, minimum=1, maximum=65535, help="TCP port where the agent listens on the phone"
    )

    _network: RuntimeProtocol | None = state()
    _forwarded: str = state("")

    @classmethod
    def from_address(cls, address: str) -> AdbProtocol:
        """Return a link to ``adb://serial``, or to the only device by ``adb://``."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise OptionError("A serial number as of adb devices is expected behind adb://.")
        return cls.from_options({"serial": found[1] or ""})

    @property
    def address(self) -> str:
        """As it is written for ``--target``."""
        return f"adb://{self.serial}"

    def start_server(self) -> Listener:
        """Refuse: the agent on the phone listens by the protocol network."""
        raise LocalProtocolError(
            "AdbProtocol has no server: on the phone, start edge-tester server network "
            f"--port {self.port}."
        )

    def attach(self, connection: Any) -> None:
        """Use a connected socket, or the descriptor of one."""
        self._network = self._link(0)
        self._network.attach(connection)
        self.connection = self._network.connection

    def start_client(self) -> None:
        """Forward a free port of this machine, and connect to it."""
        self.disconnect()
        answer = self._adb("forward", "tcp:0", f"tcp:{self.port}")
        if not answer.isdecimal():
            raise UnreachableError(
                f"{self.address}: adb names no port that it forwards, got {answer!r}."
            )
        self._forwarded = f"tcp:{answer}"
        try:
            link = self._link(int(answer))
            link.start_client()
        except BaseException:
            self.disconnect()
            raise
        self._network, self.connection = link, link.connection

    def send_file(self, file: BinaryIO, count: int, progress: Callable[[int], None]) -> None:
        """Let the kernel send the file."""
        if self._network is None:
            raise LocalProtocolError("AdbProtocol is not connected.")
        self._network.send_file(file, count, progress)

    def disconnect(self) -> None:
        """Close the connection, and forward no longer."""
        if self._network is not None:
            self._network.disconnect()
        forwarded, self._forwarded = self._forwarded, ""
        if forwarded:
            self._adb("forward", "--remove", forwarded)

    def _link(self, port: int) -> RuntimeProtocol:
        network = registry.load("runtimeprotocols", "network")
        return cast(RuntimeProtocol, network.from_options({"port": port}))

    def _adb(self, *words: str) -> str:
        chosen = ["-s", self.serial] if self.serial else []
        try:
            run = subprocess.run(
                ["adb", *chosen, *words],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LIMIT_S,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError as error:
            raise UnreachableError(
                f"{self.address} needs the program adb, which is not installed here: "
                "sudo apt install adb"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(
                f"{self.address}: adb did not answer in {_LIMIT_S:g} s."
            ) from error
        if run.returncode:
            lines = [line for line in run.stderr.splitlines() if line.strip()]
            said = printable(lines[-1] if lines else f"status {run.returncode}", 300)
            advice = next((text for sign, text in _CAUSES if sign in run.stderr), "adb failed")
            raise UnreachableError(f"{self.address}: {advice}. adb said: {said}")
        return run.stdout.strip()
