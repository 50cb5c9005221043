"""What a benchmark is: one model, data set, compiler, runtime, target, and how to measure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from edge_tester.core import registry
from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import OptionError
from edge_tester.core.making.cache import ingredients_of
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import Configurable, hint, option, path_of
from edge_tester.core.pattern import LoadPattern
from edge_tester.core.runtime import Runtime
from edge_tester.core.runtimeprotocol import RuntimeProtocol

# Key in a mapping -> attribute, and the role if it has one.
_PARTS = {
    "modelwrapper": ("model", "modelwrappers"),
    "dataset": ("dataset", "datasets"),
    "compiler": ("compiler", "compilers"),
    "runtime": ("runtime", "runtimes"),
    "runtimeprotocol": ("protocol", "runtimeprotocols"),
    "measurement": ("measurement", ""),
    "pattern": ("pattern", "patterns"),
}


class Measurement(Configurable):
    """How the host conducts a measurement."""

    conversation: str = option(
        "flight",
        choices=("flight", "classical"),
        help="Send the requests of a block of samples together, or those of each sample one after "
        "another",
    )
    pace: str = option(
        "loop",
        choices=("loop", "isolated"),
        help="Time an inference as one of a loop, with warm caches, or as the first after a pause",
    )
    replicates: int | None = option(
        None,
        minimum=1,
        help="Fresh processes that load the model anew and share the samples; 5 unless the samples "
        "are too few or loading takes too long",
    )
    min_count: int = option(
        0, minimum=0, help="Inferences at least, of all replicates; samples are run again for it"
    )
    min_duration_s: float = option(
        0.0,
        minimum=0,
        unit="s",
        help="Time that measuring takes at least, of all replicates; samples are run again for it",
    )
    precision: float | None = option(
        None,
        minimum=0.01,
        maximum=100,
        unit="%",
        gives_way=True,
        help="Go on with further replicates until the median latency is known to within this",
    )
    max_duration_s: float = option(
        600.0, minimum=0, unit="s", help="Time after which --precision is given up"
    )
    nominal_power_w: float | None = option(
        None,
        minimum=0,
        unit="W",
        help="Power of the target while it infers, for an estimate of the energy where no meter "
        "reads it",
    )
    profile: bool = option(
        False,
        help="Tell the time per operator too, of a further process that runs after all that is "
        "timed; costs another load and a few seconds",
    )
    wait: bool = option(False, help="Wait in line while another client uses the target")
    answer_limit_s: float = option(
        600.0, minimum=0.1, unit="s", help="Time that the target may take for an answer"
    )
    reconnect_s: float = option(
        60.0,
        minimum=0,
        unit="s",
        help="Time for which a link that was lost is made anew, to go on with the next block; 0 "
        "for none",
    )
    outputs_directory: Path | None = option(
        None, help="Folder for the raw outputs of every sample, one .npy file per output"
    )

    @property
    def classical(self) -> bool:
        """Whether each inference is asked for by itself, and answered twice."""
        return self.conversation == "classical"


def single_stream() -> LoadPattern:
    """Return the load pattern of whoever names none."""
    return cast(LoadPattern, registry.load("patterns", "single_stream")())


@dataclasses.dataclass(frozen=True)
class Plan:
    """One benchmark.

    A command line, a file, a cell of a matrix: all become plans.

    Attributes
    ----------
    model : ModelWrapper
    dataset : Dataset
    runtime : Runtime
        What shall run the model on the target, and the options that are set here.
    compiler : ModelCompiler, optional
        Without one the model file is deployed as it is.
    protocol : RuntimeProtocol, optional
        Link to the target, not connected; without one an agent is started on this machine.
    measurement : Measurement
    pattern : LoadPattern
    """

    model: ModelWrapper
    dataset: Dataset
    runtime: Runtime
    compiler: ModelCompiler | None = None
    protocol: RuntimeProtocol | None = None
    measurement: Measurement = dataclasses.field(default_factory=Measurement)
    pattern: LoadPattern = dataclasses.field(default_factory=single_stream)

    @property
    def local(self) -> bool:
        """Whether the target is this user's: this process, or an agent started for the run."""
        return self.protocol is None or self.protocol.in_process

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Plan:
        """Build a plan of new instances.

        Parameters
        ----------
        mapping : mapping
            By the names of the roles, as YAML files have them, a class's name or a mapping of
            ``class`` and its options; by ``measurement`` the same.

        Raises
        ------
        OptionError, PluginError
            It says something that does not exist.
        """
        for key in mapping:
            if key not in _PARTS:
                raise OptionError(f"A plan has no part {key!r}{hint(key, _PARTS)}")
        for key in ("modelwrapper", "dataset", "runtime"):
            if mapping.get(key) is None:
                raise OptionError(
                    f"A plan must have a {key}, got {', '.join(mapping) or 'nothing'}."
                )
        parts: dict[str, Any] = {
            _PARTS[key][0]: _part(key, value) for key, value in mapping.items() if value is not None
        }
        return cls(**parts)

    def to_mapping(self) -> dict[str, Any]:
        """Return what :meth:`from_mapping` makes an equal plan of; JSON and YAML can hold it."""
        parts = {key: getattr(self, attribute) for key, (attribute, _) in _PARTS.items()}
        return {
            key: {"class": path_of(type(part)), **part.chosen_options()}
            for key, part in parts.items()
            if part is not None
        }

    def fresh(self) -> Plan:
        """Return an equal plan of instances that nothing was done with."""
        return Plan.from_mapping(self.to_mapping())

    def key(self) -> str:
        """Return a hash of all that decides what is measured; the data set must be prepared."""
        made_from = ingredients_of(self.compiler, self.model, self.dataset) if self.compiler else {}
        parts = [
            *(self.model, self.dataset, self.runtime, self.measurement, self.protocol),
            self.pattern,
        ]
        described = [(path_of(type(p)), p.to_options()) for p in parts if p is not None]
        content = [made_from, self.model.artifact().sha256, described]
        return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()

    def client_options(self) -> dict[str, Any]:
        """Return the options of the runtime that a client sends.

        Those that belong to the target's owner are not among them: an agent that is started for
        the run, here or by the link, or this very process, has them already, and another one has
        its own.
        """
        return self.runtime.as_client().chosen_options()

    def owners_options(self) -> dict[str, Any]:
        """Return the options of the runtime that were chosen and only another target's owner sets.

        That target does as its owner says, and what that is, it says itself.
        """
        if self.local or (self.protocol is not None and self.protocol.owned):
            return {}
        allowed = self.client_options()
        return {k: v for k, v in self.runtime.chosen_options().items() if k not in allowed}


def _part(key: str, value: object) -> Configurable:
    named = {"class": value} if isinstance(value, str) else value
    _, role = _PARTS[key]
    if not isinstance(named, Mapping):
        raise OptionError(f"{key} must be a class's name or a mapping of options, got {value!r}.")
    options = {name: one for name, one in named.items() if name != "class"}
    found = named.get("class")
    if role:
        if not isinstance(found, str):
            raise OptionError(f"{key} must name its 'class', got {value!r}.")
        return registry.load(role, found).from_options(options)
    cls = Measurement if found is None else registry.load_path(cast(str, found))
    if not issubclass(cls, Measurement):
        raise OptionError(f"{path_of(cls)} is no Measurement.")
    return cls.from_options(options)
