"""Any Keras file or SavedModel folder."""

from __future__ import annotations

from edge_tester.modelwrappers.frameworks.generic import GenericModel
from edge_tester.modelwrappers.frameworks.tensorflow import KerasModel


class KerasFile(GenericModel, KerasModel):
    """Any .keras or .h5 file or SavedModel folder, run with TensorFlow."""
