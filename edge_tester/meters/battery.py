"""Energy that a battery gives, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import RuntimeStateError
from edge_tester.meters._sysfs.files import as_name, text_of
from edge_tester.meters._sysfs.power import Power, PowerMeter


class BatteryMeter(PowerMeter):
    """Reads the power that discharging batteries give, and sums it up.

    Source: the kernel's ABI of ``/sys/class/power_supply``: ``power_now`` in microwatts, or
    ``voltage_now`` in microvolts and ``current_now`` in microamperes, of which some drivers give
    the latter as negative while discharging. It is that of the whole device, its screen included.
    """

    def powers(self) -> dict[str, Power]:
        """Return all batteries; one that is being charged is refused."""
        found = {}
        for folder in sorted(self.sysfs.glob("class/power_supply/*")):
            if text_of(folder / "type") != "Battery":
                continue
            status = text_of(folder / "status")
            if status not in ("Discharging", "Unknown", ""):
                raise RuntimeStateError(
                    f"BatteryMeter: the battery {folder.name} is {status.lower()}: unplug the "
                    "charger, or what it gives is not what is used."
                )
            power = self._power_of(folder)
            if power is not None:
                found[f"battery_{as_name(folder.name)}_j"] = power
        if not found:
            raise RuntimeStateError(
                f"BatteryMeter: no battery in {self.sysfs}/class/power_supply tells its power."
            )
        return found

    def _power_of(self, folder: Path) -> Power | None:
        power, voltage, current = (
            folder / name for name in ("power_now", "voltage_now", "current_now")
        )
        if power.exists():
            return self.told(power, 1e-6)
        if voltage.exists() and current.exists():
            return self.product(voltage, current, 1e-12)
        return None
