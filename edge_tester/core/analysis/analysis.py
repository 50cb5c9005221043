"""What the layers of a model cost: weights, multiply-accumulates, memory, and time at least."""

from __future__ import annotations

import msgspec

from edge_tester.core.analysis.liveness import arena_bytes, arena_plan, liveness
from edge_tester.core.analysis.macs import macs_of, why_unknown
from edge_tester.core.analysis.matching import Matched, matched
from edge_tester.core.analysis.roofline import Machine
from edge_tester.core.graphs import Graph, GraphTensor, Operator
from edge_tester.core.results.profile import Profile
from edge_tester.core.results.words import plural


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of the graph.

    Attributes
    ----------
    place : int
        In the order in which they run, from 0.
    name, kind : str
    layer : str
        Module or layer that it is a part of, empty where nothing tells.
    parameters : int
        Learned numbers that it reads.
    weight_bytes : int
        Of all constants that it reads.
    macs : int or None
        Multiply-accumulates for the batch; None where it is not known what is computed.
    activation_bytes : int or None
        That it writes; 0 of a view.
    moved_bytes : int or None
        Constants and inputs that it reads, and outputs that it writes, each once.
    live_bytes : int
        Activations that are needed while it runs.
    intensity : float or None
        Operations, two for each multiply-accumulate, per byte that is moved.
    estimated_ns : float or None
        The least time on the measured roof: an estimate [ns].
    bound : str
        Which of the two it is: ``compute``, ``memory``, or empty.
    time_ns : int or None
        By the profile, where it has an operator of this name [ns].
    time_share : float or None
        Of all operators of the profile.
    note : str
        Why its work is not known.
    """

    place: int
    name: str
    kind: str
    layer: str = ""
    parameters: int = 0
    weight_bytes: int = 0
    macs: int | None = None
    activation_bytes: int | None = None
    moved_bytes: int | None = None
    live_bytes: int = 0
    intensity: float | None = None
    estimated_ns: float | None = None
    bound: str = ""
    time_ns: int | None = None
    time_share: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """What to call it: the module that it is the operator of, or its own name."""
        return (
            f"{self.layer} ({self.kind})" if self.layer and self.layer != self.name else self.name
        )


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """One model.

    Attributes
    ----------
    name, format : str
    batch_size : int
    layers : tuple of Layer
    parameters : int
        Learned numbers of the model; what several layers share counts once.
    weight_bytes : int
        Of all constants, once each.
    macs : int
        Multiply-accumulates that are known; all of them if ``unknown`` is empty.
    unknown : tuple of str
        Layers whose multiply-accumulates are not known.
    peak_activation_bytes : int
        Most bytes of activations that are needed at a time.
    peak_layer : str
        While which layer runs.
    arena_bytes : int
        Of an arena with an offset for each activation.
    activation_sum_bytes : int
        Of all activations together.
    file_bytes : int
    machine : Machine or None
        Whose roof the estimates are of.
    estimated_ns : float or None
        Sum over the layers that have an estimate [ns].
    measured_ns : float or None
        Median latency of an inference in a run of its own [ns].
    measured_memory_bytes : int or None
        Most memory of the whole process in that run.
    notes : tuple of str
        What must be known to read the figures, in sentences.
    incomplete : bool
        Whether all totals are at least that: graphs within, or sizes, are not known.
    """

    name: str
    format: str
    batch_size: int
    layers: tuple[Layer, ...]
    parameters: int
    weight_bytes: int
    macs: int
    unknown: tuple[str, ...]
    peak_activation_bytes: int
    peak_layer: str
    arena_bytes: int
    activation_sum_bytes: int
    file_bytes: int
    machine: Machine | None = None
    estimated_ns: float | None = None
    measured_ns: float | None = None
    measured_memory_bytes: int | None = None
    notes: tuple[str, ...] = ()
    incomplete: bool = False

    @property
    def macs_text(self) -> str:
        """The multiply-accumulates for readers, who must not take a part for all of them."""
        if not self.unknown:
            return f"{self.macs:,}"
        return f"at least {self.macs:,}; unknown of {plural(len(self.unknown), 'operator')}"


def analyze(
    graph: Graph,
    *,
    machine: Machine | None = None,
    profile: Profile | None = None,
    measured_ns: float | None = None,
    measured_memory_bytes: int | None = None,
) -> Analysis:
    """Return what the layers of a graph cost.

    Parameters
    ----------
    graph : Graph
        For the batch size that all figures are of.
    machine : Machine, optional
        For estimates of time.
    profile : Profile, optional
        Whose operators are matched to layers by name.
    measured_ns : float, optional
        Median latency of an inference [ns].
    measured_memory_bytes : int, optional
    """
    lives = liveness(graph)
    live = lives.live_bytes()
    times = matched(profile, graph)
    layers = tuple(
        _layer(graph, place, one, live[place], machine, times)
        for place, one in enumerate(graph.operators)
    )
    roots = _roots(graph, [n for one in graph.operators for n in (*one.inputs, *one.outputs)])
    estimates = [one.estimated_ns for one in layers if one.estimated_ns is not None]
    unknown = tuple(one.name for one in layers if one.macs is None)
    return Analysis(
        name=graph.name,
        format=graph.format,
        batch_size=graph.batch_size,
        layers=layers,
        parameters=_parameters(roots),
        weight_bytes=_bytes(roots),
        macs=sum(one.macs or 0 for one in layers),
        unknown=unknown,
        peak_activation_bytes=lives.peak_bytes,
        peak_layer=layers[lives.peak_place].label if layers else "",
        arena_bytes=arena_bytes(arena_plan(lives.buffers)),
        activation_sum_bytes=lives.sum_bytes,
        file_bytes=graph.file_bytes,
        machine=machine,
        estimated_ns=sum(estimates) if estimates else None,
        measured_ns=measured_ns,
        measured_memory_bytes=measured_memory_bytes,
        notes=(*graph.notes, *_notes(layers, lives.unknown), *times.notes),
        incomplete=graph.incomplete or bool(lives.unknown),
    )


def _layer(
    graph: Graph,
    place: int,
    operator: Operator,
    live_bytes: int,
    machine: Machine | None,
    times: Matched,
) -> Layer:
    roots = _roots(graph, operator.inputs)
    macs = macs_of(operator, graph)
    view = operator.form == "view"
    read = [graph.tensors[n] for n in dict.fromkeys(operator.inputs)]
    inputs = _known_sum([one for one in read if one.role == "activation"])
    outputs = _known_sum([graph.tensors[n] for n in operator.outputs])
    moved = None if inputs is None or outputs is None else inputs + outputs + _bytes(roots)
    moved = 0 if view else moved
    estimated, bound = None, ""
    if machine is not None and macs is not None and moved is not None:
        estimated = machine.time_ns(macs, moved)
        arithmetic = machine.compute_s(macs) > machine.memory_s(moved)
        bound = ("compute" if arithmetic else "memory") if estimated else ""
    return Layer(
        place=place,
        name=operator.name,
        kind=operator.kind,
        layer=operator.layer,
        parameters=_parameters(roots),
        weight_bytes=_bytes(roots),
        macs=macs,
        activation_bytes=0 if view else outputs,
        moved_bytes=moved,
        live_bytes=live_bytes,
        intensity=2 * macs / moved if macs is not None and moved else None,
        estimated_ns=estimated,
        bound=bound,
        time_ns=times.times_ns.get(operator.name),
        time_share=times.shares.get(operator.name),
        note=why_unknown(operator) if macs is None else "",
    )


def _roots(graph: Graph, names: list[str] | tuple[str, ...]) -> list[GraphTensor]:
    """Return the constants among tensors, as the file holds them, once each."""
    found = {}
    for name in names:
        tensor = graph.tensors[name]
        if tensor.role != "activation":
            root = graph.tensors.get(tensor.source, tensor)
            found[root.name] = root
    return list(found.values())


def _parameters(roots: list[GraphTensor]) -> int:
    return sum(one.elements or 0 for one in roots if one.role == "parameter")


def _bytes(tensors: list[GraphTensor]) -> int:
    return sum(one.size_bytes or 0 for one in tensors)


def _known_sum(tensors: list[GraphTensor]) -> int | None:
    sizes = [one.size_bytes for one in tensors]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _notes(layers: tuple[Layer, ...], unsized: tuple[str, ...]) -> list[str]:
    notes = []
    kinds: dict[tuple[str, str], int] = {}
    for one in layers:
        if one.macs is None:
            kinds[one.kind, one.note] = kinds.get((one.kind, one.note), 0) + 1
    for (kind, reason), count in kinds.items():
        notes.append(f"The work of {plural(count, 'operator')} {kind} is not counted: {reason}")
    if unsized:
        notes.append(
            f"The sizes of {plural(len(unsized), 'activation')} are not known, which are in no "
            f"figure of memory: {', '.join(unsized[:5])}{' ...' if len(unsized) > 5 else ''}."
        )
    return notes
