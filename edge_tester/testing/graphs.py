"""The conformance suite of model wrappers that tell the graph of their model."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from edge_tester.core.analysis import analyze
from edge_tester.core.graphs import Graph, Graphs
from edge_tester.core.model import ModelWrapper
from edge_tester.core.system.files import sha256_of
from edge_tester.testing.plugin import PluginConformance


class GraphsConformance(PluginConformance):
    """A subclass must name the wrapper, and give the options of a model and what it takes.

    What a wrapper must do beside, :class:`edge_tester.testing.ModelWrapperConformance` checks.
    """

    cls: ClassVar[type[ModelWrapper]]
    macs: ClassVar[int]
    """Multiply-accumulates of the model for one sample, by hand."""
    parameters: ClassVar[int]
    """Its learned numbers."""

    @pytest.fixture
    def model_file(self) -> Path:
        """Return a model file whose batch is open."""
        raise self.lacking("model_file")

    @pytest.fixture
    def graph(self, model_file: Path) -> Graph:
        """Return the graph for one sample."""
        return self._told(model_file, 1)

    def _told(self, model_file: Path, batch_size: int) -> Graph:
        wrapper = self.cls.from_options({**self.options, "model_path": str(model_file)})
        assert isinstance(wrapper, Graphs)
        return wrapper.graph(batch_size)

    def test_is_a_wrapper_that_tells_graphs(self) -> None:
        """The capability comes before what it is added to."""
        assert issubclass(self.cls, ModelWrapper)
        assert self.cls.__mro__.index(Graphs) < self.cls.__mro__.index(ModelWrapper)

    def test_every_tensor_is_told_and_made_before_it_is_read(self, graph: Graph) -> None:
        """An order in which the graph cannot run tells no memory."""
        there = {*graph.inputs} | {n for n, t in graph.tensors.items() if t.role != "activation"}
        for operator in graph.operators:
            for name in operator.inputs:
                assert name in there, f"{operator.name} reads {name}, which nothing has made"
            there.update(operator.outputs)
        assert {*graph.outputs} <= there
        assert all(name == tensor.name for name, tensor in graph.tensors.items())

    def test_names_are_of_one_operator_each(self, graph: Graph) -> None:
        """A profile is matched by them."""
        names = [one.name for one in graph.operators]
        assert len(set(names)) == len(names)

    def test_sources_are_constants_of_the_graph(self, graph: Graph) -> None:
        """What is computed from constants alone has the data of one of them."""
        for tensor in graph.tensors.values():
            if tensor.source:
                assert graph.tensors[tensor.source].role != "activation"

    def test_work_and_parameters_are_those_by_hand(self, graph: Graph) -> None:
        """Neither more, nor less, nor unknown."""
        found = analyze(graph)
        assert (self.macs, self.parameters) == (found.macs, found.parameters)
        assert not found.unknown and not found.incomplete

    def test_a_batch_multiplies_the_work_and_no_weights(
        self, graph: Graph, model_file: Path
    ) -> None:
        """Every size that the batch has a part in is that of the batch."""
        more = self._told(model_file, 3)
        assert (1, 3) == (graph.batch_size, more.batch_size)
        one, three = analyze(graph), analyze(more)
        assert (3 * one.macs, one.parameters) == (three.macs, three.parameters)
        assert one.peak_activation_bytes < three.peak_activation_bytes

    def test_the_file_is_left_as_it_is(self, model_file: Path) -> None:
        """Nothing is written, and the same file tells the same."""
        before = sha256_of(model_file)
        assert self._told(model_file, 1) == self._told(model_file, 1)
        assert before == sha256_of(model_file)
