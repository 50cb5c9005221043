"""The one loop in which PyTorch networks learn: from scratch, after pruning, while quantized."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.dataset import Samples
from edge_tester.core.tensors import Array
from edge_tester.modelwrappers.frameworks.training import Stage

# Loss of a network on the preprocessed inputs and the truth of one batch.
Loss = Callable[[Any, Sequence[Array], Array | None], Any]


def supervised(torch: Any, task: str, label_smoothing: float) -> Loss:
    """Return the loss against the truth: cross entropy of classes, squared errors of values."""

    def loss(network: Any, inputs: Sequence[Array], truth: Array | None) -> Any:
        scores = network(*(torch.as_tensor(values) for values in inputs))
        return against_truth(torch, task, label_smoothing, scores, truth)

    return loss


def against_truth(
    torch: Any, task: str, label_smoothing: float, scores: Any, truth: Array | None
) -> Any:
    """Return the mean loss of some answers."""
    # A data set without truth is none to learn from.
    wanted = torch.as_tensor(truth)
    if task == "classification":
        return torch.nn.functional.cross_entropy(
            scores, wanted.to(torch.int64), label_smoothing=label_smoothing
        )
    # Never broadcast (batch,) against (batch, 1).
    return torch.nn.functional.mse_loss(scores, wanted.to(scores.dtype).reshape(scores.shape))


def distilled(
    torch: Any, task: str, label_smoothing: float, teacher: Any, weight: float, temperature: float
) -> Loss:
    """Return the loss against the truth and the answers of a teacher, which stays as it is.

    Parameters
    ----------
    torch : module
    task : str
    label_smoothing : float
    teacher : torch.nn.Module
    weight : float
        Of the teacher, 0 to 1.
    temperature : float
        Divides the logits of both; values that are no classes have none.

    Notes
    -----
    ``(1 - weight) * cross_entropy + weight * temperature**2 * KL(teacher || student)``, where the
    square keeps the gradients in proportion. Source: G. Hinton, O. Vinyals, J. Dean, "Distilling
    the Knowledge in a Neural Network", arXiv:1503.02531, section 2.
    """
    functional = torch.nn.functional

    def loss(network: Any, inputs: Sequence[Array], truth: Array | None) -> Any:
        tensors = tuple(torch.as_tensor(values) for values in inputs)
        scores = network(*tensors)
        with torch.no_grad():
            told = teacher(*tensors)
        if task == "classification":
            apart = functional.kl_div(
                functional.log_softmax(scores / temperature, dim=1),
                functional.log_softmax(told / temperature, dim=1),
                reduction="batchmean",
                log_target=True,
            )
            apart = apart * temperature**2
        else:
            apart = functional.mse_loss(scores, told)
        own = against_truth(torch, task, label_smoothing, scores, truth)
        return (1 - weight) * own + weight * apart

    return loss


def learn(
    torch: Any,
    network: Any,
    stage: Stage,
    batches: Callable[[], Iterator[tuple[Samples, Sequence[Array]]]],
    loss: Loss,
    before_epoch: Callable[[int], object],
    after_step: Callable[[], None] = lambda: None,
) -> Iterator[float]:
    """Let a network learn with Adam; yield the mean loss of each epoch, before its steps.

    Parameters
    ----------
    torch : module
    network : torch.nn.Module
    stage : Stage
    batches : callable
        Gives the samples of one epoch, and their inputs as the network takes them.
    loss : callable
    before_epoch : callable
        Is told the number of each epoch, from 0, and puts the network in training mode.
    after_step : callable
        Called when weights have changed.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, stage.learning_rate)
    for epoch in range(stage.num_epochs):
        before_epoch(epoch)
        losses, count = [], 0
        for samples, inputs in batches():
            value = loss(network, inputs, samples.truth)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            after_step()
            losses.append(float(value.item()) * len(samples))
            count += len(samples)
        yield sum(losses) / count


@contextlib.contextmanager
def reproducible(owner: object, seed: int, threads: int) -> Iterator[None]:
    """Draw from a seed, by algorithms that give equal bits; all is as before afterwards."""
    torch = backend("torch", owner)
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        # Sums of several threads are put together in an order that depends on their number.
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.set_num_threads(before[1])
