"""What candidates there are: compressions, precisions, and the values that each option may have."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from edge_tester.core.compresses import Compression
from edge_tester.core.errors import OptionError
from edge_tester.core.options import hint, options_of

PRECISION = "precision"


class Precision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a candidate computes, and what runs it.

    Attributes
    ----------
    compiler : dict or None
        ``class`` and options; None deploys the program as it is.
    quantizer : dict or None
        A compiler of programs that comes before it, such as ``pt2e``.
    runtime : str or dict
        Name, or ``class`` and options.
    compression : dict
        Further options of the compression, such as ``qat``.
    """

    compiler: dict[str, Any] | None = None
    quantizer: dict[str, Any] | None = None
    runtime: str | dict[str, Any]
    compression: dict[str, Any] = {}


_ONNX, _RUNTIME = {"class": "onnx"}, "onnxruntime"
PRECISIONS = {
    "fp32": Precision(compiler=_ONNX, runtime=_RUNTIME),
    "fp16": Precision(compiler={**_ONNX, "target": "float16"}, runtime=_RUNTIME),
    # The file keeps float32; processors with such instructions compute less exactly, and faster.
    "bf16": Precision(compiler=_ONNX, runtime={"class": "openvino", "inference_precision": "bf16"}),
    "fp32-openvino": Precision(compiler=_ONNX, runtime="openvino"),
    "int8": Precision(compiler={**_ONNX, "target": "int8"}, runtime=_RUNTIME),
    "int8-pt2e": Precision(quantizer={"class": "pt2e"}, compiler=_ONNX, runtime=_RUNTIME),
    "int8-qat": Precision(compiler=_ONNX, runtime=_RUNTIME, compression={"qat": True}),
    "fp32-executorch": Precision(compiler={"class": "executorch"}, runtime="executorch"),
    "int8-executorch": Precision(
        compiler={"class": "executorch", "target": "int8"}, runtime="executorch"
    ),
    "fp32-torch": Precision(runtime="torch_exported"),
}
"""Those that have a name; a file may add others."""


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers that a search may choose from.

    Attributes
    ----------
    low, high : float
        Both may be chosen.
    step : float or None
        Distance of neighbours; None takes all between.
    log : bool
        Whether ratios count, not differences.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate before it is made: the same with every seed.

    Attributes
    ----------
    precision : str
    compression : dict
        Options that are not at their defaults, without seeds.
    name : str
        What tells it from others of its sweep, as a file name.
    """

    precision: str
    compression: dict[str, Any] = {}
    name: str


class Space:
    """Which configurations there are.

    Parameters
    ----------
    choices : mapping of str to list or Range
        Values by option of :class:`Compression`, and of ``precision``.
    fixed : mapping
        Options of the compression that all have.
    precisions : mapping of str to Precision
        In addition to :data:`PRECISIONS`.

    Raises
    ------
    OptionError
        Something is asked for that does not exist.
    """

    def __init__(
        self,
        choices: Mapping[str, list[Any] | Range],
        fixed: Mapping[str, Any],
        precisions: Mapping[str, Precision],
    ) -> None:
        self.choices = {**choices, PRECISION: choices.get(PRECISION, ["fp32"])}
        self.precisions = {**PRECISIONS, **precisions}
        self._fixed = dict(fixed)
        known = [one.name for one in options_of(Compression) if one.name != "seed"]
        for name in (*choices, *fixed):
            if name not in (*known, PRECISION):
                raise OptionError(f"A sweep has no option {name!r} to vary{hint(name, known)}")
        for name in fixed:
            if name in choices:
                raise OptionError(f"The option {name!r} is fixed and varied; give it once.")
        for name, values in self.choices.items():
            if not isinstance(values, Range) and not values:
                raise OptionError(f"The option {name!r} has no values to choose from.")
        for name in self._listed(PRECISION):
            self.precision(name)

    def precision(self, name: str) -> Precision:
        """Return a precision by its name.

        Raises
        ------
        OptionError
            There is none.
        """
        found = self.precisions.get(name)
        if found is None:
            raise OptionError(f"There is no precision {name!r}{hint(name, self.precisions)}")
        return found

    def configuration(self, chosen: Mapping[str, Any]) -> Configuration:
        """Return the configuration with these values.

        Options that would do nothing with the others are left out: without pruning it does not
        matter by which importance.

        Raises
        ------
        OptionError
            A value is none that the option may have.
        """
        name = chosen[PRECISION]
        options = {**self._fixed, **{k: v for k, v in chosen.items() if k != PRECISION}}
        options |= self.precision(name).compression
        asked = Compression.from_options(_useful(options)).to_options()
        usual = Compression().to_options()
        changed = {key: value for key, value in asked.items() if value != usual[key]}
        # What all have is no part of a name.
        common = {**self._fixed, **self.precision(name).compression}
        own = {key: value for key, value in changed.items() if key not in common}
        words = [name, *(f"{key}-{_spelled(value)}" for key, value in own.items())]
        return Configuration(precision=name, compression=changed, name="_".join(words))

    def grid(self) -> list[Configuration]:
        """Return every configuration, each once.

        Raises
        ------
        OptionError
            An option has a range, not values.
        """
        names = list(self.choices)
        products: Iterator[Any] = itertools.product(*(self._listed(name) for name in names))
        found = [self.configuration(dict(zip(names, values, strict=True))) for values in products]
        return list({one.name: one for one in found}.values())

    def _listed(self, name: str) -> list[Any]:
        values = self.choices[name]
        if not isinstance(values, Range):
            return values
        if name == PRECISION:
            raise OptionError("The option 'precision' must have a list of names, got a range.")
        raise OptionError(
            f"The option {name!r} has a range, which a grid cannot go through: give a list of "
            "values, or another search method than grid."
        )


def _useful(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what does nothing with the others, which a grid has many of."""
    found = dict(options)
    pruned = found.get("pruning", 0) > 0
    trains = bool(found.get("qat")) or found.get("finetune_epochs", 0) > 0
    if not pruned:
        for name in ("importance", "scope", "steps"):
            found.pop(name, None)
        if found.get("sparsity", "none") == "none" and not found.get("qat"):
            # The baseline is trained already: what is not changed is not trained on.
            found.pop("finetune_epochs", None)
            trains = False
    if not found.get("qat"):
        for name in ("qat_epochs", "freeze_after_epoch"):
            found.pop(name, None)
    if not trains:
        for name in ("distill", "learning_rate", "batch_size", "loader_seed"):
            found.pop(name, None)
    if not found.get("distill"):
        found.pop("temperature", None)
    if found.get("sparsity") != "unstructured":
        found.pop("sparsity_fraction", None)
    return found


def _spelled(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower().replace(":", "of")
