"""MobileNetV2 for PyTorch, without torchvision."""

from __future__ import annotations

from typing import Any

DIVISOR = 8
FIRST_CHANNELS, LAST_CHANNELS = 32, 1280
# Expansion factor, channels, repetitions and stride of the first repetition.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def channels_of(base: float) -> int:
    """Return a number of channels as a multiple of 8 that is at least 90 % of ``base``."""
    rounded = max(DIVISOR, int(base + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded + DIVISOR if rounded < 0.9 * base else rounded


def mobilenet_v2(nn: Any, num_classes: int, width: float = 1.0, dropout: float = 0.2) -> Any:
    """Return an untrained MobileNetV2 that takes (batch, 3, height, width) and gives logits.

    Parameters
    ----------
    nn : module
        ``torch.nn``.
    num_classes : int
    width : float
        Factor on the number of channels; the last layer never gets fewer than 1280.
    dropout : float
        Part of the features that is left out while training.

    Notes
    -----
    Source: M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear
    Bottlenecks", CVPR 2018, tables 1 and 2. Names in the state dict are those of
    ``torchvision.models.mobilenet_v2``, so that its files can be loaded.
    """

    def convolution(
        inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )

    class InvertedResidual(nn.Module):  # type: ignore[misc]
        """Expands, filters each channel on its own, and projects without a nonlinearity."""

        def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
            super().__init__()
            hidden = inputs * expansion
            expand = [convolution(inputs, hidden)] if expansion > 1 else []
            self.conv = nn.Sequential(
                *expand,
                convolution(hidden, hidden, 3, stride, groups=hidden),
                nn.Conv2d(hidden, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )
            self.shortcut = stride == 1 and inputs == outputs

        def forward(self, values: Any) -> Any:
            return values + self.conv(values) if self.shortcut else self.conv(values)

    class MobileNetV2(nn.Module):  # type: ignore[misc]
        """The network; with ``keeps_statistics`` batch normalization learns no new ones."""

        def __init__(self) -> None:
            super().__init__()
            inputs = channels_of(FIRST_CHANNELS * width)
            layers = [convolution(3, inputs, 3, 2)]
            for expansion, base, repetitions, stride in BLOCKS:
                outputs = channels_of(base * width)
                for repetition in range(repetitions):
                    layers.append(
                        InvertedResidual(inputs, outputs, 1 if repetition else stride, expansion)
                    )
                    inputs = outputs
            features = channels_of(LAST_CHANNELS * max(1.0, width))
            self.features = nn.Sequential(*layers, convolution(inputs, features))
            self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))
            self.keeps_statistics = False

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            if self.keeps_statistics:
                self.features.train(False)
            return self

        def forward(self, images: Any) -> Any:
            return self.classifier(self.features(images).mean((2, 3)))

    network = MobileNetV2()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
    return network
