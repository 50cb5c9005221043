"""Zeros among the weights of PyTorch networks."""

from __future__ import annotations

from typing import Any

from edge_tester.core.backends import backend
from edge_tester.core.compresses import Compression

REMARK = (
    "The zeros lie in dense tensors: no runtime here gets faster, and no file smaller, by them."
)
# Of each four weights in a row, two are kept.
_GROUP, _KEPT = 4, 2


class Zeros:
    """Keeps the smallest weights of a network at zero.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    compression : Compression
    owner : object
        The model wrapper.

    Notes
    -----
    Unstructured: those of the smallest absolute value among all convolutions and dense layers.
    2:4: of each four in a row along the inputs of a channel, the two smaller ones; what is left
    over at the end of a row stays. Source: A. Mishra et al., "Accelerating Sparse Deep Neural
    Networks", arXiv:2104.08378, section 4.
    """

    def __init__(self, network: Any, compression: Compression, owner: object) -> None:
        torch = backend("torch", owner)
        kinds = torch.nn.modules.conv._ConvNd | torch.nn.Linear
        weights = [one.weight for one in network.modules() if isinstance(one, kinds)]
        self._torch = torch
        if compression.sparsity == "unstructured":
            masks = self._smallest(weights, compression.sparsity_fraction or 0.5)
        else:
            masks = [self._two_of_four(one) for one in weights]
        self._masked = list(zip(weights, masks, strict=True))
        self.apply()

    def apply(self) -> None:
        """Set them to zero, again after each step of a training."""
        with self._torch.no_grad():
            for weight, mask in self._masked:
                weight.mul_(mask)

    def _smallest(self, weights: list[Any], fraction: float) -> list[Any]:
        sizes = self._torch.cat([one.detach().abs().flatten() for one in weights])
        # Stable, so that of equal ones always the same go.
        order = self._torch.argsort(sizes, stable=True)
        flat = self._torch.ones_like(sizes)
        flat[order[: round(fraction * len(sizes))]] = 0
        parts = flat.split([one.numel() for one in weights])
        return [part.reshape(one.shape) for part, one in zip(parts, weights, strict=True)]

    def _two_of_four(self, weight: Any) -> Any:
        # The inputs of a channel last, so that a row runs along them.
        rows = weight.detach().movedim(1, -1).flatten(0, -2).abs()
        mask = self._torch.ones_like(rows)
        whole = rows.shape[1] - rows.shape[1] % _GROUP
        groups = rows[:, :whole].reshape(-1, _GROUP)
        smaller = groups.argsort(dim=1, stable=True)[:, : _GROUP - _KEPT]
        mask[:, :whole] = (
            self._torch.ones_like(groups).scatter_(1, smaller, 0.0).reshape(len(rows), whole)
        )
        return mask.reshape(weight.movedim(1, -1).shape).movedim(-1, 1)
