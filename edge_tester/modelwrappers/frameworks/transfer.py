"""What classifiers share that learn on top of a backbone which another training left."""

from __future__ import annotations

from collections.abc import Iterator

from edge_tester.core.dataset import Dataset
from edge_tester.core.errors import ModelError
from edge_tester.core.model import TrainingPlan
from edge_tester.core.options import option, state
from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.training import Stage

# A tenth of the rate keeps what the backbone knows.
FINE_TUNING_RATE = 0.1


class TransferModel(ImageModel):
    """A subclass must set ``pretrained`` when it builds its network, and freeze it on request.

    A pretrained backbone stays as it is while the new head learns, then both learn
    at a tenth of the rate; one with random weights learns from the beginning.
    """

    # At 32 the last feature map is one pixel, and one image of it has no statistics.
    input_size: int = option(224, minimum=33, help="Height and width of the input", unit="pixel")
    width: float = option(
        1.0, minimum=0.1, help="Factor on the number of channels of MobileNetV2's layers"
    )
    num_classes: int = option(37, minimum=2, help="Number of classes that the model tells apart")
    dropout: float = option(
        0.2, minimum=0, maximum=1, help="Part of the features left out while training"
    )
    frozen_epochs: int = option(
        10, minimum=0, help="Passes in which pretrained weights stay as they are"
    )

    pretrained: bool = state(False)

    def freeze(self, frozen: bool) -> None:
        """Let the backbone of the network learn, or not."""
        raise NotImplementedError

    def train(self, dataset: Dataset, plan: TrainingPlan) -> dict[str, float]:
        """Train the head, then all, and save to ``model_path``.

        Raises
        ------
        ModelError
            The data set has another number of classes.
        """
        classes = len(dataset.class_names())
        if classes != self.num_classes:
            raise ModelError(
                f"{type(self).__name__}.num_classes must be {classes} to train on "
                f"{type(dataset).__name__}, got {self.num_classes}."
            )
        return super().train(dataset, plan)

    def stages(self, plan: TrainingPlan) -> Iterator[Stage]:
        """Yield the stages of a training, the backbone frozen at first if it is pretrained."""
        frozen = min(self.frozen_epochs, plan.num_epochs) if self.pretrained else 0
        if frozen:
            self.freeze(True)
            yield Stage(frozen, plan.learning_rate)
            self.freeze(False)
        if plan.num_epochs > frozen:
            rate = FINE_TUNING_RATE if self.pretrained else 1.0
            yield Stage(plan.num_epochs - frozen, plan.learning_rate * rate)
