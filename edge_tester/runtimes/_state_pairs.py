"""Models that give their state as outputs and take it back as inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edge_tester.core import options
from edge_tester.core.errors import ModelError, OptionError
from edge_tester.core.runtime import StatefulRuntime

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array, TensorSpec

_PAIR = re.compile(r"([^=,]+)=([^=,]+)")


class StatePairsRuntime(StatefulRuntime):
    """A subclass must feed the inputs of ``state_values`` besides those of the samples."""

    state_pairs: tuple[str, ...] = options.option(
        (),
        help="State that a model takes and gives: INPUT=OUTPUT, several separated by commas; it "
        "is zero at first",
    )

    state_values: dict[str, Array] = options.state(default_factory=dict)
    """What the inputs of the state get next, by name."""

    def __post_init__(self) -> None:
        """Check the spelling of the pairs."""
        super().__post_init__()
        self.pairs()

    def pairs(self) -> dict[str, str]:
        """Return the output that becomes each input of the state.

        Raises
        ------
        OptionError
            A pair is misspelt.
        """
        found = {}
        for word in (part for given in self.state_pairs for part in given.split(",")):
            pair = _PAIR.fullmatch(word)
            if pair is None:
                raise OptionError(
                    f"{type(self).__name__}.state_pairs must be INPUT=OUTPUT, got {word!r}."
                )
            found[pair[1]] = pair[2]
        return found

    def without_state(
        self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> tuple[list[TensorSpec], list[TensorSpec]]:
        """Return the inputs that samples fill and the outputs that answer; zero the state.

        Raises
        ------
        ModelError
            The model has no such input or output.
        """
        import msgspec

        pairs = self.pairs()
        for kind, names, specs in (
            ("input", pairs.keys(), inputs),
            ("output", pairs.values(), outputs),
        ):
            known = [spec.name for spec in specs]
            for name in names:
                if name not in known:
                    raise ModelError(
                        f"{type(self).__name__}.state_pairs: the model has no {kind} {name!r}; "
                        f"it has {', '.join(known)}."
                    )
        self._state_specs = [spec for spec in inputs if spec.name in pairs]
        self.zero_state()
        answers = [
            msgspec.structs.replace(
                spec, position=index if spec.position is None else spec.position
            )
            for index, spec in enumerate(outputs)
            if spec.name not in pairs.values()
        ]
        samples = [spec for spec in inputs if spec.name not in pairs]
        return samples, answers if pairs else list(outputs)

    def zero_state(self) -> None:
        """Begin anew; open sizes of the state are 1."""
        self.state_values = self.zeros_of_state()

    def zeros_of_state(self) -> dict[str, Array]:
        """Return what the inputs of the state get at first, by name."""
        import numpy as np

        return {
            spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype)
            for spec in self._state_specs
        }

    def carry_state(self, outputs: Mapping[str, Array]) -> None:
        """Begin anew, or where the last inference ended, as the option says.

        Parameters
        ----------
        outputs : mapping of str to ndarray
            Of the last inference, by name; empty before the first.
        """
        if self.state == "reset" or not outputs:
            self.zero_state()
        else:
            self.state_values = {name: outputs[out] for name, out in self.pairs().items()}

    _state_specs: list[TensorSpec] = options.state(default_factory=list)
