"""Channels of PyTorch networks: which ones may go, how much they matter, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.compresses import Compression, Layer
from edge_tester.core.errors import ModelError
from edge_tester.modelwrappers.frameworks.training import one_line

# No layer loses more of its channels, also where they are chosen among all layers.
_MOST = 0.95


class Pruner:
    """Removes channels of a network step by step, together with all that reads or writes them.

    Of each layer, or of all, at least the part that is asked for: numbers are rounded up.

    The library ``torch-pruning`` finds what belongs together. Channels that the network gives
    are none that may go, and those of its inputs neither.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    examples : tuple of torch.Tensor
        Inputs of two samples.
    compression : Compression
    owner : object
        The model wrapper.

    Raises
    ------
    ModelError
        The library cannot follow the network, or nothing may be removed.

    Notes
    -----
    The importance of a channel is the sum of the squares of all weights that are removed with it:
    those that make it, in every layer that writes to it, and those that read it (``magnitude``);
    or the sum of ``|weight * gradient|`` over them (``taylor``). Across layers (``global``) it
    counts as part of the mean of its group. Sources: G. Fang et al., "DepGraph: Towards Any
    Structural Pruning", CVPR 2023; P. Molchanov et al., "Importance Estimation for Neural Network
    Pruning", CVPR 2019, equation 8.
    """

    def __init__(
        self, network: Any, examples: tuple[Any, ...], compression: Compression, owner: object
    ) -> None:
        self._network, self._examples, self._owner = network, examples, owner
        self._library = backend("torch_pruning", owner)
        self._torch = backend("torch", owner)
        self._shapes = self._answered()
        self.kept = protected(network, examples, owner)
        try:
            self._pruner = self._library.pruner.BasePruner(
                network,
                examples,
                importance=self._importance(compression),
                global_pruning=compression.scope == "global",
                pruning_ratio=compression.pruning,
                max_pruning_ratio=_MOST,
                iterative_steps=compression.steps,
                ignored_layers=self.kept,
                # The defaults are dictionaries that all pruners of a process would share.
                in_channel_groups={},
                out_channel_groups={},
                num_heads={},
                channel_groups={},
            )
        except Exception as error:
            raise self._refusal(error) from error

    def step(self) -> None:
        """Remove the channels of one step.

        Raises
        ------
        ModelError
            None can be removed, or the network does not run without them.
        """
        before = parameters(self._network)
        try:
            self._pruner.step()
            self._network.zero_grad(set_to_none=True)
            shapes = self._answered()
        except Exception as error:
            raise self._refusal(error) from error
        if shapes != self._shapes:
            raise ModelError(
                f"{type(self._owner).__name__} cannot be pruned: its outputs would have the shapes "
                f"{shapes} instead of {self._shapes}."
            )
        if parameters(self._network) == before:
            raise ModelError(
                f"{type(self._owner).__name__} cannot be pruned: no layer can lose a channel, "
                "because its channels are outputs of the network, or it has a single one."
            )

    def _importance(self, compression: Compression) -> Any:
        if compression.importance == "random":
            return self._library.importance.RandomImportance()

        # The library's own leave out layers of one filter per channel.
        def importance(group: Any) -> Any:
            found = self._torch.zeros(len(group[0].idxs))
            counted = set()
            for item in group:
                layer, places = item.dep.target.module, item.root_idxs
                writes = self._pruner.DG.is_out_channel_pruning_fn(item.dep.handler)
                key = id(layer), writes
                if key in counted or not isinstance(layer, _kinds(self._torch)):
                    continue
                counted.add(key)
                sums = _sums_of_channels(layer, compression.importance, writes)[item.idxs]
                found.index_add_(0, self._torch.tensor(places), sums)
            return found / found.mean() if compression.scope == "global" else found

        return importance

    def _answered(self) -> list[tuple[int, ...]]:
        was_training = self._network.training
        with self._torch.no_grad():
            answers = self._network.eval()(*self._examples)
        self._network.train(was_training)
        return [tuple(one.shape) for one in self._torch.utils._pytree.tree_leaves(answers)]

    def _refusal(self, error: Exception) -> ModelError:
        return ModelError(
            f"{type(self._owner).__name__} cannot be pruned, perhaps because its code has numbers "
            f"of channels written in it or parts that torch-pruning cannot follow: "
            f"{one_line(error)}"
        )


def protected(network: Any, examples: tuple[Any, ...], owner: object) -> list[Any]:
    """Return the layers whose channels are those of an output, such as the classifier.

    Found from the outputs backwards along the gradients, up to the first layers that mix their
    inputs; those of one filter per channel pass them on.
    """
    torch = backend("torch", owner)
    owners = {
        id(module.weight): module
        for module in network.modules()
        if isinstance(module, _kinds(torch))
    }
    frozen = [p for p in network.parameters() if not p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        answers = network.eval()(*examples)
    for parameter in frozen:
        parameter.requires_grad_(False)
    leaves = torch.utils._pytree.tree_leaves(answers)
    open_nodes = [one.grad_fn for one in leaves if one.grad_fn is not None]
    seen: set[Any] = set()
    found: dict[int, Any] = {}
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        layers = [owners[key] for key in _weights_of(node) if key in owners]
        found.update({id(one): one for one in layers})
        if any(getattr(one, "groups", 1) == 1 for one in layers):
            continue
        open_nodes += [following for following, _ in node.next_functions if following is not None]
    return list(found.values())


def macs(network: Any, examples: tuple[Any, ...], owner: object) -> int:
    """Return the multiply-accumulate operations of convolutions and matrix products, per sample."""
    torch = backend("torch", owner)
    counter = backend("torch.utils.flop_counter", owner).FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(*(one[:1] for one in examples))
    # It counts a multiplication and an addition as two.
    return int(counter.get_total_flops()) // 2


def parameters(network: Any) -> int:
    """Return the number of parameters."""
    return sum(int(one.numel()) for one in network.parameters())


def layers(before: Any, after: Any) -> tuple[Layer, ...]:
    """Return the layers with weights of two or more dimensions, of a network and the pruned one."""
    pruned = dict(after.named_modules())
    return tuple(
        Layer(
            name=name,
            kind=type(module).__name__,
            shape_before=tuple(module.weight.shape),
            shape_after=tuple(pruned[name].weight.shape),
            channels_before=_channels(module),
            channels_after=_channels(pruned[name]),
        )
        for name, module in _weighted(before)
    )


def _weighted(network: Any) -> Iterator[tuple[str, Any]]:
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if weight is not None and getattr(weight, "ndim", 0) > 1:
            yield name, module


def _channels(module: Any) -> int:
    for name in ("out_channels", "out_features", "embedding_dim"):
        if hasattr(module, name):
            return int(getattr(module, name))
    return int(module.weight.shape[0])


def _kinds(torch: Any) -> tuple[Any, ...]:
    return (torch.nn.modules.conv._ConvNd, torch.nn.Linear)


def _sums_of_channels(layer: Any, importance: str, writes: bool) -> Any:
    """Return what all weights count together that write, or read, each channel."""
    weight = layer.weight.detach()
    each = weight.square() if importance == "magnitude" else (weight * layer.weight.grad).abs()
    groups = getattr(layer, "groups", 1)
    if writes != getattr(layer, "transposed", False):
        return each.flatten(1).sum(1)
    # A channel is read by the filters of its group alone.
    first, second = each.shape[0] // groups, each.shape[1]
    return each.reshape(groups, first, second, -1).sum((1, 3)).flatten()


def _weights_of(node: Any) -> Iterator[int]:
    """Yield the identities of the parameters that a step of a gradient takes."""
    for following, _ in node.next_functions:
        # Linear layers transpose theirs.
        while following is not None and len(following.next_functions) == 1:
            following = following.next_functions[0][0]
        if following is not None and hasattr(following, "variable"):
            yield id(following.variable)
