"""Small networks for the digits: plain, of one filter per channel, and with shortcuts."""

from __future__ import annotations

from pathlib import Path

from edge_tester.modelwrappers.frameworks.images import ImageModel
from edge_tester.modelwrappers.frameworks.pytorch import TorchModel
from edge_tester.onnxconverters import _torch_models as blocks

WIDTH = 12


class Plain(ImageModel, TorchModel):
    """Two convolutions with batch normalization, a dense layer behind a flattening one."""

    input_shapes = ((1, 8, 8),)

    def build(self):
        from torch import nn

        return nn.Sequential(
            *(nn.Conv2d(1, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1), nn.BatchNorm2d(2 * WIDTH), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * WIDTH, 10)),
        )


class Depthwise(ImageModel, TorchModel):
    """Inverted residuals, as MobileNetV2 has them."""

    input_shapes = ((1, 8, 8),)

    def build(self):
        from torch import nn

        return nn.Sequential(
            blocks._convolution(nn, 1, WIDTH, 3, 1, act=nn.ReLU6),
            blocks._inverted_residual(nn, WIDTH, 3 * WIDTH, WIDTH, 3, 1, nn.ReLU6),
            blocks._inverted_residual(nn, WIDTH, 3 * WIDTH, 2 * WIDTH, 3, 2, nn.ReLU6),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * WIDTH, 10)),
        )


class Residual(ImageModel, TorchModel):
    """A shortcut around two convolutions, and one that has a convolution of its own."""

    input_shapes = ((1, 8, 8),)

    def build(self):
        from torch import nn

        class Block(nn.Module):
            def __init__(self, before, after, stride):
                super().__init__()
                self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
                self.first_norm = nn.BatchNorm2d(after)
                self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
                self.second_norm = nn.BatchNorm2d(after)
                self.shortcut = nn.Identity()
                if before != after:
                    self.shortcut = nn.Conv2d(before, after, 1, stride)
                self.relu = nn.ReLU()

            def forward(self, values):
                inside = self.relu(self.first_norm(self.first(values)))
                inside = self.second_norm(self.second(inside))
                return self.relu(inside + self.shortcut(values))

        return nn.Sequential(
            *(nn.Conv2d(1, WIDTH, 3, padding=1), nn.ReLU()),
            *(Block(WIDTH, WIDTH, 1), Block(WIDTH, 2 * WIDTH, 2)),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * WIDTH, 10)),
        )


KINDS = (Plain, Depthwise, Residual)


def untrained(kind: type[TorchModel], folder: Path, seed: int = 0) -> TorchModel:
    """A model of random weights, with random statistics and factors of its normalizations."""
    import torch

    model = kind(model_path=folder / f"{kind.__name__.lower()}.pth")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model.network = model.build().eval()
        for layer in model.network.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                for values in (layer.weight, layer.bias, layer.running_var, layer.running_mean):
                    values.uniform_(0.5, 1.5)
    model.save(model.model_path)
    return model
