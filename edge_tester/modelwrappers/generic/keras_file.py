"""Any Keras file or SavedModel folder."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.scaling import ScalingModel
from edge_tester.modelwrappers.frameworks.tensorflow import KerasModel


class KerasFile(ScalingModel, KerasModel):
    """Any .keras or .h5 file or SavedModel folder, run with TensorFlow."""
