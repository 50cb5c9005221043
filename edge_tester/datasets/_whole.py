"""What data sets of a user's own files have in common."""

from __future__ import annotations

from edge_tester.core.dataset import Dataset
from edge_tester.core.options import option


class WholeDataset(Dataset):
    """A data set that is measured whole, in its own order, unless told otherwise."""

    test_fraction: float = option(
        1.0, minimum=0, maximum=1, help="Part of the samples held out for measuring"
    )
    validation_fraction: float = option(
        0.0, minimum=0, maximum=1, help="Part of the samples for watching a training"
    )
    calibration_fraction: float = option(
        0.0, minimum=0, maximum=1, help="Part of the samples for calibrating a quantization"
    )
