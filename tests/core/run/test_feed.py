"""Many small inferences are fed and evaluated at once, and come out as one by one."""

import numpy as np
import pytest

from edge_tester.core.errors import InputError
from edge_tester.core.run.feed import Feed, joined
from edge_tester.core.run.watch import OutputWatch
from edge_tester.core.tensors import TensorSpec
from tests.agents import echo_model
from tests.runs import EchoModel, npz

SPEC = TensorSpec("x", (None, 4), "float32")


class Apart(EchoModel):
    """Looks at all samples of an inference, so that several must never be handled at once."""

    def preprocess(self, inputs, specs):
        return [one - one.mean(dtype=np.float32) for one in inputs]

    def postprocess(self, outputs):
        return outputs[0] - outputs[0].max()


class Counted(EchoModel):
    """Treats each sample apart."""

    calls = 0

    def preprocess(self, inputs, specs):
        type(self).calls += 1
        return [one / 2 for one in inputs]

    def postprocess(self, outputs):
        type(self).calls += 1
        return outputs[0] + 1


class Single(EchoModel):
    """Takes no more than one sample at once."""

    def preprocess(self, inputs, specs):
        return [one.reshape(1, 4) for one in inputs]

    def postprocess(self, outputs):
        return outputs[0].reshape(1, 2, 2)


def fed(folder, cls, count=600, size=1, spec=SPEC):
    values = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    dataset = npz(folder, x=values, y=np.arange(count) % 4)
    dataset.prepare()
    model = cls(model_path=echo_model(folder).path)
    return Feed(model, dataset, [spec], [spec], dataset.test_indices(), size=size), values


def scores_of(feed, batches, together):
    groups = [batches[i : i + together] for i in range(0, len(batches), together)]
    found = [feed.answered(some, [[*one.tensors] for one in some]) for some in groups]
    return np.concatenate([one for some in found for one in some])


@pytest.mark.parametrize(("cls", "size"), [(Apart, 1), (Apart, 3), (Counted, 7), (Single, 1)])
def test_each_inference_is_fed_and_evaluated_as_if_it_were_alone(tmp_path, cls, size):
    feed, values = fed(tmp_path, cls, size=size)
    batches = list(feed.batches())
    model = cls(model_path=tmp_path)
    assert len(feed.indices) == sum(len(one.indices) for one in batches)
    for number, batch in enumerate(batches):
        own = feed.indices[number * size : (number + 1) * size]
        assert own.tolist() == batch.indices.tolist()
        assert (own % 4).tolist() == batch.truth.tolist()
        filled = np.concatenate([values[own], np.repeat(values[own[-1:]], size - len(own), 0)])
        assert np.array_equal(model.preprocess([filled], [SPEC])[0], batch.tensors[0])
    alone = [model.postprocess(one.tensors)[: len(one.indices)] for one in batches]
    assert np.array_equal(np.concatenate(alone), scores_of(feed, batches, 64))


def test_many_small_samples_are_handled_at_once(tmp_path):
    Counted.calls = 0
    feed, _ = fed(tmp_path, Counted)
    batches = list(feed.batches())
    scores_of(feed, batches, 256)
    assert len(feed.indices) == len(batches)
    assert Counted.calls < len(batches)


def test_counts_are_those_of_all_inferences(tmp_path):
    spec = TensorSpec("x", (1, 4), "int8", scale=0.01, zero_point=0)
    feed, values = fed(tmp_path, EchoModel, spec=spec)
    assert (1, 4) == {one.tensors[0].shape for one in feed.batches()}.pop()
    facts, own = feed.input_facts()["x"], values[feed.indices]
    assert own.size == facts["values"]
    assert (float(own.min()), float(own.max())) == (facts["minimum"], facts["maximum"])
    assert int(((own > 1.275) | (own < -1.285)).sum()) == facts["saturated"]


def test_what_the_model_does_not_take_is_said_of_one_inference(tmp_path):
    feed, _ = fed(tmp_path, EchoModel, size=2, spec=TensorSpec("x", (5, 4), "float32"))
    with pytest.raises(InputError, match=r"takes \(5, 4\) float32, got \(2, 4\)"):
        list(feed.batches())


def test_answers_that_are_none_are_counted_by_inference():
    watch = OutputWatch([TensorSpec("y", (2, 2), "float32")])
    outputs = np.array([[1, 2], [np.nan, 1], [np.inf, 0], [np.nan, np.inf]], np.float32)
    watch.see([[np.zeros(1)], [np.ones(1)]], [outputs], outputs)
    nan, infinite = watch.remarks()
    assert "Output 'y' has NaN in 2 of 2 inferences." == nan
    assert "Output 'y' has infinite values in 1 of 2 inferences." == infinite


def test_what_does_not_fit_stays_apart():
    assert [] == joined([])
    assert 2 == len(joined([np.zeros((1, 2)), np.zeros((1, 3))]))
    assert (3, 2) == joined([np.zeros((1, 2)), np.zeros((2, 2))])[0].shape
