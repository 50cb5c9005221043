"""Energy of NVIDIA's graphics processors."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.meter import EnergyMeter
from edge_tester.core.options import state


class NVMLMeter(EnergyMeter):
    """Reads the energy counter of each NVIDIA graphics processor.

    Source: NVML, ``nvmlDeviceGetTotalEnergyConsumption``: millijoules since the driver was loaded;
    Volta or later.
    """

    packages = ("pynvml",)

    _library: Any = state()
    _devices: list[Any] = state(default_factory=list)

    def open(self) -> None:
        """Find all processors."""
        library = backend("pynvml", self)
        try:
            library.nvmlInit()
            count = library.nvmlDeviceGetCount()
            self._devices = [library.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            for device in self._devices:
                library.nvmlDeviceGetTotalEnergyConsumption(device)
        except library.NVMLError as error:
            raise RuntimeStateError(
                f"NVMLMeter: the driver tells no energy on this machine: {error}."
            ) from error
        if not self._devices:
            raise RuntimeStateError("NVMLMeter: the driver knows no graphics processor.")
        self._library = library

    def read(self) -> dict[str, float]:
        """Return joules since the driver was loaded."""
        return {
            f"nvml_{index}_j": self._library.nvmlDeviceGetTotalEnergyConsumption(device) / 1e3
            for index, device in enumerate(self._devices)
        }

    def close(self) -> None:
        """Let go of the driver."""
        if self._library is not None:
            self._library.nvmlShutdown()
            self._library = None
