"""Meters of what tells its power alone: it is read often, and summed up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_tester.core.meter import EnergyMeter
from edge_tester.core.options import option, state
from edge_tester.meters._sysfs.files import NumberFile

Power = Callable[[], float | None]
"""Gives a power now [W], None where nobody tells it."""


class PowerMeter(EnergyMeter):
    """A subclass must find what tells a power: :meth:`powers`."""

    interval_s: float = option(
        0.02, minimum=0.001, unit="s", target_only=True, help="Time from one reading to the next"
    )
    sysfs: Path = option(Path("/sys"), target_only=True, help="Where the kernel's files are")

    _files: list[NumberFile] = state(default_factory=list)
    _integral: Integral | None = state()

    def powers(self) -> dict[str, Power]:
        """Return what tells a power, by the name of its counter, which ends in ``_j``.

        Raises
        ------
        RuntimeStateError
            There is none.
        """
        raise NotImplementedError

    def open(self) -> None:
        """Find all, and begin to read."""
        self._integral = Integral(self.powers(), self.interval_s)

    def read(self) -> dict[str, float]:
        """Return joules since the meter was opened."""
        return self._integral.read_j() if self._integral else {}

    def close(self) -> None:
        """End reading."""
        if self._integral is not None:
            self._integral.close()
            self._integral = None
        while self._files:
            self._files.pop().close()

    def told(self, path: Path, unit_w: float) -> Power:
        """Return what a file tells, in a unit of so many watts; its sign does not count."""
        file = self._opened(path)
        return lambda: None if (number := file.read()) is None else abs(number) * unit_w

    def product(self, voltage: Path, current: Path, unit_w: float) -> Power:
        """Return the product of two files, in a unit of so many watts; its sign does not count."""
        files = self._opened(voltage), self._opened(current)

        def power_w() -> float | None:
            volts, amperes = (file.read() for file in files)
            return None if volts is None or amperes is None else abs(volts * amperes) * unit_w

        return power_w

    def _opened(self, path: Path) -> NumberFile:
        self._files.append(NumberFile(path))
        return self._files[-1]


class Integral:
    """Sums up the energy of some powers over time, in a thread of its own.

    Parameters
    ----------
    powers_w : mapping of str to callable
    interval_s : float
        Time from one reading to the next.

    Notes
    -----
    Trapezoids: between two readings the power is taken for the mean of the two.
    """

    def __init__(self, powers_w: Mapping[str, Power], interval_s: float) -> None:
        self._powers_w = powers_w
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._energies_j = dict.fromkeys(powers_w, 0.0)
        self._last = {name: (time.perf_counter(), read()) for name, read in powers_w.items()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def read_j(self) -> dict[str, float]:
        """Return the energies until now [J]."""
        with self._lock:
            self._add()
            return dict(self._energies_j)

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._ended.wait(self._interval_s):
            with self._lock:
                self._add()

    def _add(self) -> None:
        for name, read in self._powers_w.items():
            now_s, power_w = time.perf_counter(), read()
            earlier_s, earlier_w = self._last[name]
            if power_w is not None and earlier_w is not None:
                self._energies_j[name] += (power_w + earlier_w) / 2 * (now_s - earlier_s)
            self._last[name] = (now_s, power_w)
