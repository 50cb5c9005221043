"""What a pipeline is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec

from edge_tester.core import registry
from edge_tester.core.checking.validation import Tolerances
from edge_tester.core.errors import OptionError
from edge_tester.core.pipeline.decision import Thresholds
from edge_tester.core.pipeline.handmade import Import
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.samples.checks import ENOUGH_SAMPLES

_SSH = "ssh://"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pipeline is asked, besides model, data set and how to measure.

    Attributes
    ----------
    ways : list of str
        Conversions to make; all by default.
    conversions : list of Path
        Files that were made of the model elsewhere.
    make_tools : bool
        Whether compilers may make environments for tools.
    import_modules : list of str
        Modules of Python that register operators which the model has, for the runtimes on this
        machine that run Python. A device's owner names them where the agent is started.
    samples : int
        Representative samples to write and to calibrate with.
    requests : int
        Of the client simulation, under each load pattern.
    tolerances : Tolerances
    devices : list of str
        Device profiles to write runbooks for: names, or paths of a user's own.
    address : str
        Of a device to measure on: ``host:port`` of an agent, or ``ssh://user@host``.
    results : list of Import
        Files with results by hand.
    thresholds : Thresholds
    costs : dict of str to float
        Of putting a candidate into the product, by its name.
    """

    ways: list[str] = []
    conversions: list[Path] = []
    make_tools: bool = False
    import_modules: list[str] = []
    samples: int = ENOUGH_SAMPLES
    requests: int = 100
    tolerances: Tolerances = Tolerances()
    devices: list[str] = []
    address: str = ""
    results: list[Import] = []
    thresholds: Thresholds = Thresholds()
    costs: dict[str, float] = {}


def link_to(address: str) -> RuntimeProtocol | None:
    """Return the link to ``host:port`` or ``ssh://user@host``, None for an empty address.

    Raises
    ------
    OptionError
        It is neither.
    """
    if not address:
        return None
    if address.startswith(_SSH):
        place = address.removeprefix(_SSH)
        if not place or place.startswith("-") or any(char.isspace() for char in place):
            raise OptionError(
                f"An address such as ssh://pi@raspberrypi is expected, got {address}."
            )
        return _link("stdio", {"command": f"ssh {place} edge-tester server --stdio"})
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise OptionError(
            f"The address of a device is host:port or ssh://user@host, got {address!r}."
        )
    return _link("network", {"host": host.strip("[]"), "port": int(port)})


def _link(name: str, options: dict[str, Any]) -> RuntimeProtocol:
    return cast(RuntimeProtocol, registry.load("runtimeprotocols", name).from_options(options))
