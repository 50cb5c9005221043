"""Scaling of inputs that options say."""

from __future__ import annotations

from typing import Any

from edge_tester.core.system.onnxmetadata import SCALING
from edge_tester.modelwrappers.frameworks.generic import GenericModel


class ScalingModel(GenericModel):
    """A subclass must run a file; it can tell how it scales."""

    def scaling(self) -> dict[str, Any] | None:
        """Return the options that scale, empty if none does."""
        given = {name: getattr(self, name) for name in SCALING}
        if self.input_scale == 1 and not self.input_mean and not self.input_std:
            return {}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in given.items()}
