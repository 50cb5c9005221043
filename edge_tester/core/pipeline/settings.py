"""What a pipeline is asked."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_tester.core.checking.validation import Tolerances
from edge_tester.core.pipeline.decision import Thresholds
from edge_tester.core.pipeline.handmade import Import
from edge_tester.core.samples.checks import ENOUGH_SAMPLES


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
        Of a device to measure on, such as ``ssh://pi@raspberrypi``, or ``host:port`` of an agent.
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
