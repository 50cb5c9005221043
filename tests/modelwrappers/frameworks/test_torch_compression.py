"""Compressing PyTorch models: what is made, what it is said to be, and what stays as it was."""

import copy
import hashlib

import numpy as np
import pytest
import torch

from edge_tester.core.compresses import Compression
from edge_tester.core.errors import DatasetError, ModelError, OptionError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.run.evaluation import evaluate
from edge_tester.core.system import torchprograms
from edge_tester.datasets.digits import DigitsDataset
from edge_tester.modelwrappers.classification.pytorch_digits import PyTorchDigitsClassifier
from edge_tester.modelwrappers.frameworks import torch_training
from edge_tester.modelwrappers.frameworks.torch_quantizing import QuantizedTraining
from edge_tester.modelwrappers.frameworks.torch_sparsity import Zeros
from edge_tester.modelwrappers.generic.torch_exported_file import TorchExportedFile
from tests.compressible import Depthwise, Plain, untrained

# Of the digits classifier, before and with 8 and 16 of its channels.
BEFORE = (9 * 16 + 16) + (9 * 16 * 32 + 32) + (128 * 10 + 10)
AFTER = (9 * 8 + 8) + (9 * 8 * 16 + 16) + (64 * 10 + 10)


@pytest.fixture(scope="module")
def digits():
    dataset = DigitsDataset()
    dataset.prepare()
    return dataset


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "digits.pth"
    model = PyTorchDigitsClassifier(model_path=path)
    model.train(digits, TrainingPlan(num_epochs=4))
    return model


@pytest.fixture(scope="module")
def halved(trained, digits, tmp_path_factory):
    """Half of the channels, trained on for two epochs."""
    compression = Compression(pruning=0.5, finetune_epochs=2)
    return trained.compress(digits, compression, tmp_path_factory.mktemp("halved") / "m.pt2")


def compress(model, dataset, path, **options):
    return model.compress(dataset, Compression(**options), path)


def weights_of(model):
    digest = hashlib.sha256()
    for name, values in model.network.state_dict().items():
        digest.update(name.encode() + values.numpy().tobytes())
    return digest.hexdigest()


def test_the_facts_are_those_of_the_network(trained, halved, digits):
    assert (BEFORE, AFTER) == (halved.parameters_before, halved.parameters_after)
    # Pictures of 8 and of 4 pixels.
    macs = 9 * 16 * 64 + 9 * 16 * 32 * 16 + 1280, 9 * 8 * 64 + 9 * 8 * 16 * 16 + 640
    assert macs == (halved.macs_before, halved.macs_after)
    shapes = [(16, 1, 3, 3), (32, 16, 3, 3), (10, 128)], [(8, 1, 3, 3), (16, 8, 3, 3), (10, 64)]
    assert shapes[0] == [one.shape_before for one in halved.layers]
    assert shapes[1] == [one.shape_after for one in halved.layers]
    channels = [(one.channels_before, one.channels_after) for one in halved.layers]
    assert [(16, 8), (32, 16), (10, 10)] == channels
    assert hashlib.sha256(halved.path.read_bytes()).hexdigest() == halved.sha256
    assert trained.artifact().sha256 == halved.source_sha256
    assert halved.path.stat().st_size == halved.size_bytes
    assert 0 == halved.zeros_share
    assert () == halved.remarks
    assert {"torch", "torch-pruning"} <= set(halved.tool_versions)
    assert ["prune 1", "finetune 1"] == [phase.name for phase in halved.phases]
    assert [0, 2] == [len(phase.losses) for phase in halved.phases]
    first, last = (phase.quality.accuracy for phase in halved.phases)
    assert first < last
    assert last == halved.quality_after.accuracy
    assert evaluate(trained, digits, digits.split().validation) == halved.quality_before


def test_the_file_answers_as_is_said(halved, digits):
    file = TorchExportedFile.from_options(halved.wrapper)
    file.load()
    assert halved.path == file.model_path
    assert halved.quality_after == evaluate(file, digits, digits.split().validation)
    assert halved.weights_sha256 == torchprograms.digest_of(file.export())


def test_equal_seeds_make_equal_files(trained, halved, digits, tmp_path):
    torch.manual_seed(11)
    expected = torch.rand(2)
    torch.manual_seed(11)
    again = compress(trained, digits, tmp_path / "a.pt2", pruning=0.5, finetune_epochs=2)
    assert halved.path.read_bytes() == again.path.read_bytes()
    assert halved.phases == again.phases
    # The caller draws as if nothing had happened.
    assert torch.equal(expected, torch.rand(2))
    assert not torch.are_deterministic_algorithms_enabled()


def test_other_seeds_make_other_files(trained, halved, digits, tmp_path):
    options = {"pruning": 0.5, "finetune_epochs": 2}
    other = compress(trained, digits, tmp_path / "a.pt2", **options, loader_seed=1)
    assert halved.weights_sha256 != other.weights_sha256
    drawn = [
        compress(trained, digits, tmp_path / f"{n}.pt2", pruning=0.5, importance="random", seed=s)
        for n, s in enumerate((0, 0, 1))
    ]
    assert drawn[0].weights_sha256 == drawn[1].weights_sha256 != drawn[2].weights_sha256


def test_the_baseline_stays_as_it_was(trained, halved, digits, tmp_path):
    before, file = weights_of(trained), trained.model_path.read_bytes()
    options = {"pruning": 0.3, "importance": "taylor", "finetune_epochs": 1, "distill": 0.5}
    compress(trained, digits, tmp_path / "a.pt2", **options, qat=True, qat_epochs=1)
    assert before == weights_of(trained)
    assert file == trained.model_path.read_bytes()
    assert all(one.requires_grad for one in trained.network.parameters())
    assert not trained.network.training


def test_training_is_to_the_bit_what_its_steps_are_written_out(digits, tmp_path):
    model = PyTorchDigitsClassifier(model_path=tmp_path / "m.pth")
    with torch_training.reproducible(model, 0, 1):
        model.train(digits, TrainingPlan(num_epochs=2, seed=3))
    generator = np.random.default_rng(3)
    with torch_training.reproducible(model, 3, 1):
        network = model.build()
        optimizer = torch.optim.Adam(network.parameters(), 0.001)
        train = digits.split().train
        digits.bind(model.input_specs)
        for _ in range(2):
            for samples in digits.batches(generator.permutation(train), 32):
                optimizer.zero_grad()
                scores = network(torch.as_tensor(samples.inputs[0]))
                truth = torch.as_tensor(samples.truth)
                torch.nn.functional.cross_entropy(scores, truth, label_smoothing=0.1).backward()
                optimizer.step()
    for name, values in network.state_dict().items():
        assert torch.equal(values, model.network.state_dict()[name])


def test_steps_prune_little_by_little(trained, digits, tmp_path):
    made = compress(trained, digits, tmp_path / "a.pt2", pruning=0.5, steps=2, finetune_epochs=1)
    names = ["prune 1", "finetune 1", "prune 2", "finetune 2"]
    assert names == [phase.name for phase in made.phases]
    assert AFTER == made.parameters_after


def test_a_network_of_one_filter_per_channel_is_pruned_and_quantized(digits, tmp_path):
    model = untrained(Depthwise, tmp_path)
    options = {"pruning": 0.3, "finetune_epochs": 1, "qat": True, "qat_epochs": 1}
    made = compress(model, digits, tmp_path / "a.pt2", **options)
    program = torchprograms.loaded(made.path, None)
    assert made.parameters_after < made.parameters_before
    kinds = {str(one.dtype) for one in torchprograms.tensors_of(program).values() if one.ndim > 1}
    assert {"torch.int8"} == kinds
    assert ["prune 1", "finetune 1", "qat"] == [phase.name for phase in made.phases]
    assert made.quality_after == made.phases[-1].quality
    assert made.quality_after.accuracy > 0.2


def test_distilling_follows_the_teacher_as_far_as_it_is_told(trained, tmp_path):
    """By hand: the loss is a mean of two, that of the answers by Hinton's formula."""
    generator = np.random.default_rng(0)
    inputs, truth = [generator.random((6, 1, 8, 8), np.float32)], generator.integers(0, 10, 6)
    student = PyTorchDigitsClassifier(model_path=tmp_path / "m.pth").build()
    teacher = trained.network
    answers = [
        network(torch.from_numpy(inputs[0])).detach().double().numpy()
        for network in (student, teacher)
    ]

    def logarithms(scores, temperature):
        scores = scores / temperature
        return scores - np.log(np.exp(scores).sum(1, keepdims=True))

    own = -logarithms(answers[0], 1)[np.arange(6), truth].mean()
    for weight, temperature in ((0.0, 4.0), (0.3, 2.0), (1.0, 4.0)):
        told, heard = (logarithms(one, temperature) for one in reversed(answers))
        apart = (np.exp(told) * (told - heard)).sum(1).mean() * temperature**2
        loss = torch_training.distilled(torch, "classification", 0.0, teacher, weight, temperature)
        actual = float(loss(student, inputs, truth))
        assert (1 - weight) * own + weight * apart == pytest.approx(actual, rel=1e-5)


def test_distilled_values_are_compared_by_squares():
    student, teacher = torch.nn.Linear(3, 1), torch.nn.Linear(3, 1)
    inputs, truth = np.ones((2, 3), np.float32), np.array([1.0, 2.0])
    values = torch.from_numpy(inputs)
    own = ((student(values).flatten() - torch.tensor([1.0, 2.0])) ** 2).mean()
    apart = ((student(values) - teacher(values)) ** 2).mean()
    loss = torch_training.distilled(torch, "regression", 0.0, teacher, 0.25, 4.0)
    expected = float(0.75 * own + 0.25 * apart)
    assert expected == pytest.approx(float(loss(student, [inputs], truth)), rel=1e-5)


def test_the_weight_of_distillation_reaches_the_training(trained, digits, tmp_path):
    losses = [
        compress(trained, digits, tmp_path / f"{n}.pt2", finetune_epochs=1, **options)
        .phases[0]
        .losses[0]
        for n, options in enumerate(({}, {"distill": 1.0}))
    ]
    # The student begins as the teacher, from which it does not differ at first.
    assert losses[1] < 0.1 * losses[0]


def observed(network):
    """Ranges and statistics that a training may move."""
    return {
        name: values.clone()
        for name, values in network.named_buffers()
        if any(part in name for part in ("scale", "zero_point", "min_val", "running_"))
    }


def test_ranges_and_statistics_stay_after_freezing(tmp_path):
    model = untrained(Plain, tmp_path)
    model.network.train()
    quantized = QuantizedTraining(model.export(), model)
    inputs = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    quantized.train()
    quantized.network(inputs)
    before = observed(quantized.network)
    quantized.network(3 * inputs)
    moved = observed(quantized.network)
    quantized.freeze()
    quantized.train()
    quantized.freeze()
    quantized.network(30 * inputs)
    frozen = observed(quantized.network)
    assert before
    changed = [name for name in before if not torch.equal(before[name], moved[name])]
    assert any("running_" in name for name in changed)
    assert any("scale" in name for name in changed)
    assert [] == [name for name in moved if not torch.equal(moved[name], frozen[name])]


def test_ranges_of_weights_are_those_of_the_weights_as_they_are(tmp_path):
    """An average over past steps would cut off a channel that has grown."""
    model = untrained(Depthwise, tmp_path)
    model.network.train()
    quantized = QuantizedTraining(model.export(), model)
    quantized.train()
    inputs = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    # The dense layer's, which no normalization scales.
    dense = next(one for one in quantized.network.parameters() if one.ndim == 2)
    for factor in (1, 100):
        with torch.no_grad():
            dense.mul_(factor)
        quantized.network(inputs)
    expected = dense.detach().abs().amax(1) / 127
    scales = {
        name: values
        for name, values in quantized.network.named_buffers()
        if name.endswith("scale") and values.shape == expected.shape
    }
    assert any(torch.allclose(expected, one, rtol=1e-2) for one in scales.values())


@pytest.mark.parametrize(("after", "frozen"), [(1, 2), (3, 0)])
def test_they_are_frozen_when_it_is_said(trained, digits, tmp_path, monkeypatch, after, frozen):
    seen = []
    freeze = QuantizedTraining.freeze
    monkeypatch.setattr(QuantizedTraining, "freeze", lambda s: (seen.append(1), freeze(s)))
    options = {"qat": True, "qat_epochs": 3, "freeze_after_epoch": after}
    compress(trained, digits, tmp_path / "a.pt2", **options)
    assert frozen == len(seen)


@pytest.mark.parametrize(
    ("options", "rates"),
    [({}, [0.002, 0.0002]), ({"qat_learning_rate": 0.003}, [0.002, 0.003])],
)
def test_it_learns_more_slowly_while_quantized(
    trained, digits, tmp_path, monkeypatch, options, rates
):
    seen = []
    adam = torch.optim.Adam
    monkeypatch.setattr(torch.optim, "Adam", lambda p, rate: (seen.append(rate), adam(p, rate))[1])
    given = {"finetune_epochs": 1, "qat": True, "qat_epochs": 1, "learning_rate": 0.002}
    compress(trained, digits, tmp_path / "a.pt2", **given, **options)
    assert rates == pytest.approx(seen)


def test_unstructured_zeros_are_the_smallest_and_stay(trained, digits, tmp_path):
    options = {"sparsity": "unstructured", "sparsity_fraction": 0.75, "finetune_epochs": 1}
    made = compress(trained, digits, tmp_path / "a.pt2", **options)
    assert 0.75 == pytest.approx(made.zeros_share, abs=1e-3)
    assert "no runtime here gets faster" in made.remarks[0]
    network = copy.deepcopy(trained.network)
    before = torch.cat([network[n].weight.detach().flatten().abs() for n in (0, 3, 7)])
    Zeros(network, Compression(sparsity="unstructured", sparsity_fraction=0.75), trained)
    after = torch.cat([network[n].weight.detach().flatten() for n in (0, 3, 7)])
    assert before[after == 0].max() <= before[after != 0].min()


def test_two_of_each_four_stay(trained):
    network = copy.deepcopy(trained.network)
    Zeros(network, Compression(sparsity="2:4"), trained)
    # Along the inputs: 16 channels of the second convolution, 128 of the dense layer.
    for layer in (network[3].weight.movedim(1, -1), network[7].weight):
        assert {2} == set((layer.reshape(-1, 4) != 0).sum(1).tolist())
    before = trained.network[7].weight.detach().reshape(-1, 4).abs()
    after = network[7].weight.detach().reshape(-1, 4)
    assert torch.equal(before.topk(2).values.sum(1), after.abs().sum(1))
    # A single input is no row of four.
    assert torch.equal(trained.network[0].weight, network[0].weight)


class Halving(PyTorchDigitsClassifier):
    """Prepares its samples in a way that it does not tell."""

    def preprocess(self, inputs, specs):
        return [values / 2 for values in super().preprocess(inputs, specs)]


class Normalizing(PyTorchDigitsClassifier):
    """The same, where scaling() can tell it."""

    def normalize(self, images):
        return (images - np.float32(0.25)) / np.float32(2)


def test_preprocessing_that_no_option_says_is_refused(trained, digits, tmp_path):
    model = Halving(model_path=trained.model_path)
    model.load()
    path = tmp_path / "a.pt2"
    with pytest.raises(ModelError, match="Halving cannot be compressed to a file of its own"):
        compress(model, digits, path, pruning=0.5)
    assert [] == list(tmp_path.iterdir())


def test_preprocessing_becomes_options(trained, digits, tmp_path):
    model = Normalizing(model_path=trained.model_path)
    model.load()
    made = compress(model, digits, tmp_path / "a.pt2")
    assert made.quality_before.accuracy == made.quality_after.accuracy
    assert {"input_scale", "input_mean", "input_std"} <= set(made.wrapper)


@pytest.mark.parametrize(
    ("dataset", "path", "error", "message"),
    [
        ({}, "a.onnx", OptionError, "A compressed model is a .pt2 file"),
        ({"validation_fraction": 0}, "a.pt2", DatasetError, "has no validation split"),
    ],
)
def test_what_cannot_be_done_is_refused(trained, tmp_path, dataset, path, error, message):
    data = DigitsDataset(**dataset)
    data.prepare()
    with pytest.raises(error, match=message):
        compress(trained, data, tmp_path / path, pruning=0.5)


def test_a_model_must_be_loaded(trained, digits, tmp_path):
    model = PyTorchDigitsClassifier(model_path=trained.model_path)
    with pytest.raises(ModelError, match="used before load"):
        compress(model, digits, tmp_path / "a.pt2", pruning=0.5)
