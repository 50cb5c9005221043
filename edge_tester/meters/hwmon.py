"""Energy of the rails that a board measures: INA219, INA3221 and their like, by hwmon."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import RuntimeStateError
from edge_tester.meters._sysfs.files import as_name, text_of
from edge_tester.meters._sysfs.power import Power, PowerMeter


class HwmonMeter(PowerMeter):
    """Reads the power of each rail often, and sums it up.

    Jetson boards, and hats of the Raspberry Pi, have such sensors. Source: the kernel's "Naming
    and data format standards for sysfs files": ``power*_input`` in microwatts, ``in*_input`` in
    millivolts, ``curr*_input`` in milliamperes; ``in*_label`` and ``power*_label`` name the rail.
    An INA3221 tells voltage and current alone.
    """

    def powers(self) -> dict[str, Power]:
        """Return the rails of all chips."""
        found: dict[str, Power] = {}
        for folder in sorted(self.sysfs.glob("class/hwmon/hwmon*")):
            found |= self._told(folder) or self._products(folder)
        if not found:
            raise RuntimeStateError(
                f"HwmonMeter: no chip in {self.sysfs}/class/hwmon tells a power, or a voltage with "
                "its current."
            )
        return found

    def _told(self, folder: Path) -> dict[str, Power]:
        return {
            _name(folder, path.name.removesuffix("_input")): self.told(path, 1e-6)
            for path in sorted(folder.glob("power*_input"))
        }

    def _products(self, folder: Path) -> dict[str, Power]:
        found = {}
        for path in sorted(folder.glob("curr*_input")):
            rail = f"in{path.name.removeprefix('curr').removesuffix('_input')}"
            voltage = folder / f"{rail}_input"
            if voltage.exists():
                found[_name(folder, rail)] = self.product(voltage, path, 1e-6)
        return found


def _name(folder: Path, rail: str) -> str:
    chip = as_name(text_of(folder / "name") or "chip")
    label = as_name(text_of(folder / f"{rail}_label") or rail)
    return f"{chip}_{folder.name.removeprefix('hwmon')}_{label}_j"
