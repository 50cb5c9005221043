"""What runtimes of models with a state between inferences have in common."""

from __future__ import annotations

from edge_tester.core import options
from edge_tester.core.runtime import Runtime


class StatefulRuntime(Runtime):
    """A subclass must begin each sample anew, or carry the state over, when inputs are set.

    Its facts have ``state``, the value of the option, for a model that keeps one; such a model
    is never run twice for one sample.
    """

    state: str = options.option(
        "reset",
        choices=("reset", "carry"),
        help="State that a model keeps between inferences: begin each sample anew, or carry it "
        "over from the sample before",
    )
