"""Compilers that can leave layers in float where they quantize the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from edge_tester.core.compiler import ModelCompiler
from edge_tester.core.errors import OptionError
from edge_tester.core.making.calibration import CalibrationSet
from edge_tester.core.model import ModelWrapper
from edge_tester.core.options import hint, option, state
from edge_tester.core.tensors import Array


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One operation that a compiler can make integers of.

    Attributes
    ----------
    name : str
        Of the first tensor that it writes; no two layers have the same.
    kind : str
        Such as ``Conv``.
    inputs, outputs : tuple of str
        Tensors that it reads and writes; constants do not count.
    weights : int
        Elements of its constants.
    node : str
        Its own name, empty where the format has none.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: int
    node: str = ""


class SelectiveCompiler(ModelCompiler):
    """A subclass must set ``layers`` when it quantizes, and leave those in float that are named.

    * ``layers`` and ``tensor_ranges`` are set by ``convert``, in the order of the graph.
    * What was calibrated goes through :meth:`ranges_once`.
    * A tensor is in float if the layer that writes it and all that read it are.

    Conformance suite: :class:`edge_tester.testing.SelectiveConformance`.
    """

    keep_float: tuple[str, ...] = option(
        (),
        help="Layers to leave in float, each by its name or that of a tensor it writes; a tensor "
        "stays in float if the layers that read it do too",
    )

    layers: list[Layer] = state(default_factory=list)
    """What the last compilation could make integers of."""
    tensor_ranges: dict[str, tuple[float, float]] = state(default_factory=dict)
    """Smallest and largest value of each tensor that the last compilation calibrated with."""

    _kept: list[Layer] = state(default_factory=list)
    _once: list[tuple[Any, CalibrationSet]] | None = state()

    def tensors(
        self, model: ModelWrapper, samples: Iterator[list[Array]]
    ) -> Iterator[dict[str, Array]]:
        """Yield the float values of all tensors of the model, for one sample after the other.

        Parameters
        ----------
        model : ModelWrapper
        samples : iterator of lists of ndarray, each of shape (1, ...)
            As the model takes them.

        Yields
        ------
        dict of str to ndarray
            By the names that ``tensor_ranges`` has.
        """
        raise NotImplementedError

    def check_choices(self) -> None:
        """See also that there is something of which layers could be left out."""
        super().check_choices()
        if self.keep_float and not self.quantizes:
            raise OptionError(
                f"{type(self).__name__}.keep_float leaves layers out of a quantization, which is "
                f"not asked for, got {', '.join(self.keep_float)}."
            )

    @property
    def makes_integers(self) -> bool:
        """Whether some weights must be integers: not if all layers with weights stay in float."""
        if not self.keep_float:
            return self.quantizes
        kept = {one.name for one in self._kept}
        return self.quantizes and any(one.weights for one in self.layers if one.name not in kept)

    @contextlib.contextmanager
    def calibrating_once(self) -> Iterator[None]:
        """Let all compilations in this block calibrate as the first one did.

        They must have the same model and samples, and options that differ in nothing but which
        layers stay in float and where the result goes.
        """
        self._once = []
        try:
            yield
        finally:
            self._once = None

    def ranges_once(self, find: Callable[[], Any]) -> Any:
        """Return what calibrating finds, or what it found before in the same block."""
        if self._once is None:
            return find()
        if not self._once:
            self._once.append((find(), self.calibration))
        found, self.calibration = self._once[0]
        return found

    def note_ranges(self, ranges: Mapping[str, tuple[float, float]]) -> None:
        """Keep the ranges of the tensors that layers read and write, in the order of the graph."""
        order = dict.fromkeys(name for one in self.layers for name in one.inputs + one.outputs)
        self.tensor_ranges = {name: ranges[name] for name in order if name in ranges}

    def keep(self, more: Callable[[str], Sequence[str]] = lambda name: ()) -> list[Layer]:
        """Find the layers that ``keep_float`` names among ``layers``; return them.

        Parameters
        ----------
        more : callable
            Gives the layers' names that another name stands for, such as one that is in the
            user's file alone.

        Raises
        ------
        OptionError
            A name is of none.
        """
        by_name: dict[str, list[Layer]] = {}
        for layer in self.layers:
            for name in {layer.name, layer.node, *layer.outputs} - {""}:
                by_name.setdefault(name, []).append(layer)
        found: dict[str, Layer] = {}
        for name in self.keep_float:
            layers = by_name.get(name) or [one for n in more(name) for one in by_name.get(n, [])]
            if not layers:
                raise OptionError(
                    f"{type(self).__name__}.keep_float names {name!r}, but there is no such layer "
                    f"that could be quantized{hint(name, by_name)}"
                )
            found |= {one.name: one for one in layers}
        self._kept = list(found.values())
        return self._kept

    def facts(self) -> dict[str, Any]:
        """Return how much was left in float; empty if nothing was to be."""
        if not self.keep_float:
            return {}
        return {
            "kept_in_float": {
                "layers": len(self._kept),
                "of_layers": len(self.layers),
                "weights": sum(one.weights for one in self._kept),
                "of_weights": sum(one.weights for one in self.layers),
            }
        }
