"""Energy of x86 processors by RAPL, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path

from edge_tester.core.errors import RuntimeStateError
from edge_tester.core.meter import EnergyMeter
from edge_tester.core.options import option, state
from edge_tester.meters._sysfs.files import NumberFile, as_name, text_of


class RAPLMeter(EnergyMeter):
    """Reads the energy counters of processor packages, their parts and memory (powercap).

    Source: the kernel's "Power Capping Framework": ``energy_uj`` counts microjoules and begins
    again after ``max_energy_range_uj``. A part of a package has its own counter, which is in that
    of the package.
    """

    sysfs: Path = option(Path("/sys"), target_only=True, help="Where the kernel's files are")

    _domains: dict[str, _Domain] = state(default_factory=dict)

    def open(self) -> None:
        """Find all domains."""
        for folder in sorted(self.sysfs.glob("class/powercap/*-rapl*:*")):
            if not (folder / "energy_uj").exists():
                continue
            # Two packages have parts of the same name: the place tells them apart.
            place = folder.name.partition(":")[2].replace(":", "_")
            name = f"rapl_{as_name(text_of(folder / 'name') or 'domain')}_{place}_j"
            self._domains[name] = _Domain(folder)
        if not self._domains:
            raise RuntimeStateError(
                f"RAPLMeter: {self.sysfs}/class/powercap has no energy counter of RAPL; virtual "
                "machines and processors other than x86 have none."
            )

    def read(self) -> dict[str, float]:
        """Return joules since the meter was opened."""
        found = {name: domain.read_j() for name, domain in self._domains.items()}
        return {name: energy_j for name, energy_j in found.items() if energy_j is not None}

    def close(self) -> None:
        """Close all files."""
        for domain in self._domains.values():
            domain.file.close()


class _Domain:
    """One counter, which never becomes less."""

    def __init__(self, folder: Path) -> None:
        self.file = NumberFile(folder / "energy_uj")
        self._range_uj = int(text_of(folder / "max_energy_range_uj") or 0)
        self._last_uj = self.file.read()
        self._sum_uj = 0

    def read_j(self) -> float | None:
        now_uj = self.file.read()
        if now_uj is None or self._last_uj is None:
            return None
        grown_uj = now_uj - self._last_uj
        if grown_uj < 0:
            grown_uj += self._range_uj
        self._sum_uj += max(0, grown_uj)
        self._last_uj = now_uj
        return self._sum_uj / 1e6
