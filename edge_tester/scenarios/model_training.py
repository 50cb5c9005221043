"""Train a model and save it: ``edge-tester train``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_tester.core.dataset import Dataset
from edge_tester.core.model import ModelWrapper, TrainingPlan
from edge_tester.scenarios._command import Command, Parsed
from edge_tester.scenarios._program import Logging, guard

COMMAND = Command(
    "train",
    "Train a model on a data set's training split and save it.",
    roles=("modelwrappers", "datasets"),
    required=("modelwrappers", "datasets"),
    extras=(TrainingPlan,),
)


def train(
    model: ModelWrapper, dataset: Dataset, plan: TrainingPlan | None = None
) -> dict[str, float]:
    """Train from scratch and save to the model's path.

    Returns
    -------
    dict of str to float
        Final metrics, as the framework names them.
    """
    dataset.prepare()
    return model.train(dataset, plan or TrainingPlan())


def conduct(parsed: Parsed) -> None:
    """Do what a command line or a scenario file says."""
    parsed.extra(Logging).start()
    model, dataset = parsed.needed(ModelWrapper), parsed.needed(Dataset)
    metrics = train(model, dataset, parsed.extra(TrainingPlan))
    shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    print(f"Saved {model.model_path}: {shown}")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    conduct(COMMAND.parse(arguments))


if __name__ == "__main__":
    sys.exit(guard(main))
