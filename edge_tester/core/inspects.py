"""The capabilities to tell intermediate tensors of a model, and to cut parts out of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array

INPUT = "Input"
"""Type of what no operator makes: the inputs of a model."""


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of a model, as it was in one inference.

    Attributes
    ----------
    name : str
        In the model's file, or the module or layer that gives it; no other tensor has it.
    type : str
        What computes it, in the words of the format: ``Conv``, ``CONV_2D``, ``Conv2d``; of inputs
        :data:`INPUT`.
    place : int
        Of what computes it in the order of the graph, from 0; inputs come first, with -1.
    values : ndarray of float32 or float64
        Real numbers: quantized ones are dequantized.
    dtype : str
        numpy's name of its type in the file.
    scale, zero_point : float and int, or None
        Of a tensor that is quantized as a whole.
    precision : str
        The coarsest type that takes part in computing it, constants included: ``float32``,
        ``float16`` or ``integers``.
    inputs : tuple of str, or None
        Names of the nearest told tensors that it is computed from; None where nothing tells.
    aliases : tuple of str
        Other names of this very tensor: modules that give what one inside of them gives.
    scopes : tuple of str
        Modules or layers that it is computed in, the innermost last, where the file tells.
    output : int or None
        Place among the outputs of the model, None if it is none of them.
    """

    name: str
    type: str
    place: int
    values: Any
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    precision: str = "float32"
    inputs: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    output: int | None = None


class Inspects:
    """A subclass must be a runtime or a model wrapper as well, and tell intermediate tensors.

    It comes before that role among the bases.

    * All tensors of real numbers of the main graph are told, inputs and outputs included, in the
      order of the graph. What is computed from constants alone, and whole numbers without a
      scale, such as sizes and indices, are not.
    * Values are those of this inference: no memory that a later operator has written to.
    * Where a quantization follows an operator at once, its result counts as that of the operator.
    * Later answers, inputs, the file, and a state that the model keeps stay as they were.

    Conformance suite: :class:`edge_tester.testing.InspectsConformance`.
    """

    def inspect(self, inputs: Sequence[Array]) -> list[Tensor]:
        """Run one inference of a copy of the loaded model, and return its tensors.

        Parameters
        ----------
        inputs : sequence of ndarray
            As for ``set_inputs`` of a runtime, or ``run`` of a model wrapper.

        Returns
        -------
        list of Tensor
            The caller owns the values.

        Raises
        ------
        RuntimeStateError, ModelError
            No model was loaded, or it has no graph that can be looked into.
        InputError
            The inputs do not fit the model.
        """
        raise NotImplementedError


class Cuts(Inspects):
    """A subclass must be a runtime as well, tell intermediate tensors, and cut out parts.

    Conformance suite: :class:`edge_tester.testing.CutsConformance`.
    """

    standalone: ClassVar[str]
    """Python source of a function that runs a file with the backend alone.

    It is called ``run_FORMAT(path, inputs)``, with the path as text and a list of arrays as the
    file takes them, imports the backend itself, and returns the list of outputs.
    """

    def cut(self, target: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[str]:
        """Write the part of the loaded model that computes some tensors from others.

        A tensor may be in both: then it is computed for the output, and what reads it reads the
        input. So a part with all tensors in both is every operator for itself.

        Parameters
        ----------
        target : Path
            The file to write.
        inputs : sequence of Tensor
            Where the part may begin; their sizes become those of the part.
        outputs : sequence of Tensor
            In the order in which the part is to give them.

        Returns
        -------
        list of str
            Names of the inputs that the part has, in its order: those of ``inputs`` that are
            needed, and inputs of the whole that are needed besides.

        Raises
        ------
        RuntimeStateError
            No model was loaded.
        ModelError
            There is no such tensor.
        """
        raise NotImplementedError
