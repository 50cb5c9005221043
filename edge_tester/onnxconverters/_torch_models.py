"""Well-known networks in PyTorch, as their papers' tables describe them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Listed(NamedTuple):
    """How a model is built, and what it takes."""

    build: Callable[[Any, Any], Any]
    input_shape: tuple[int, ...]
    input_dtype: str = "float32"


def _sum(nn: Any, body: Any, shortcut: Any = None) -> Any:
    class Sum(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.body, self.shortcut = body, shortcut or nn.Identity()

        def forward(self, values: Any) -> Any:
            return self.shortcut(values) + self.body(values)

    return Sum()


def _scaled(nn: Any, channels: int, squeezed: int, gate: Any) -> Any:
    """Return squeeze-and-excitation. Source: J. Hu et al., CVPR 2018."""

    class Scaled(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.factors = nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(channels, squeezed, 1),
                nn.ReLU(),
                nn.Conv2d(squeezed, channels, 1),
                gate,
            )

        def forward(self, values: Any) -> Any:
            return values * self.factors(values)

    return Scaled()


def _convolution(
    nn: Any, before: int, after: int, size: int, stride: int = 1, groups: int = 1, act: Any = None
) -> Any:
    layers = [
        nn.Conv2d(before, after, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(after),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


def _classifier(nn: Any, channels: int) -> list[Any]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


def _inverted_residual(
    nn: Any,
    before: int,
    hidden: int,
    after: int,
    size: int,
    stride: int,
    act: Any,
    squeezed: int = 0,
    gate: Any = None,
) -> Any:
    """Return the block of MobileNets. Source: M. Sandler et al., CVPR 2018, figure 4."""
    layers = [_convolution(nn, before, hidden, 1, act=act)] if hidden != before else []
    layers.append(_convolution(nn, hidden, hidden, size, stride, hidden, act))
    if squeezed:
        layers.append(_scaled(nn, hidden, squeezed, gate))
    body = nn.Sequential(*layers, _convolution(nn, hidden, after, 1))
    return _sum(nn, body) if stride == 1 and before == after else body


def _mobilenet_v2(nn: Any, torch: Any) -> Any:
    """Source: M. Sandler et al., CVPR 2018, table 2."""
    layers, channels = [_convolution(nn, 3, 32, 3, 2, act=nn.ReLU6)], 32
    table = (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    )
    for expansion, after, count, stride in table:
        for number in range(count):
            step, hidden = stride if number == 0 else 1, channels * expansion
            layers.append(_inverted_residual(nn, channels, hidden, after, 3, step, nn.ReLU6))
            channels = after
    return nn.Sequential(
        *layers, _convolution(nn, 320, 1280, 1, act=nn.ReLU6), *_classifier(nn, 1280)
    )


def _mobilenet_v3(nn: Any, torch: Any) -> Any:
    """Source: A. Howard et al., ICCV 2019, table 2 (small)."""
    layers, channels = [_convolution(nn, 3, 16, 3, 2, act=nn.Hardswish)], 16
    table = (
        *((3, 16, 16, True, nn.ReLU, 2), (3, 72, 24, False, nn.ReLU, 2)),
        *((3, 88, 24, False, nn.ReLU, 1), (5, 96, 40, True, nn.Hardswish, 2)),
        *((5, 240, 40, True, nn.Hardswish, 1), (5, 240, 40, True, nn.Hardswish, 1)),
        *((5, 120, 48, True, nn.Hardswish, 1), (5, 144, 48, True, nn.Hardswish, 1)),
        *((5, 288, 96, True, nn.Hardswish, 2), (5, 576, 96, True, nn.Hardswish, 1)),
        (5, 576, 96, True, nn.Hardswish, 1),
    )
    for size, hidden, after, squeezes, act, stride in table:
        squeezed = max(8, hidden // 4) if squeezes else 0
        block = (channels, hidden, after, size, stride, act, squeezed, nn.Hardsigmoid())
        layers.append(_inverted_residual(nn, *block))
        channels = after
    return nn.Sequential(
        *layers, _convolution(nn, 96, 576, 1, act=nn.Hardswish), *_classifier(nn, 576)
    )


def _efficientnet(nn: Any, torch: Any) -> Any:
    """Source: M. Tan and Q. Le, ICML 2019, table 1 (B0)."""
    layers, channels = [_convolution(nn, 3, 32, 3, 2, act=nn.SiLU)], 32
    table = (
        *((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2)),
        *((6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)),
    )
    for expansion, size, after, count, stride in table:
        for number in range(count):
            step, hidden = stride if number == 0 else 1, channels * expansion
            block = (channels, hidden, after, size, step, nn.SiLU, channels // 4, nn.Sigmoid())
            layers.append(_inverted_residual(nn, *block))
            channels = after
    return nn.Sequential(
        *layers, _convolution(nn, 320, 1280, 1, act=nn.SiLU), *_classifier(nn, 1280)
    )


def _resnet(nn: Any, torch: Any) -> Any:
    """Source: K. He et al., CVPR 2016, table 1 (18 layers)."""
    layers, channels = [_convolution(nn, 3, 64, 7, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)], 64
    for after, stride in (
        (64, 1),
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
    ):
        first = _convolution(nn, channels, after, 3, stride, act=nn.ReLU)
        body = nn.Sequential(first, _convolution(nn, after, after, 3))
        same = stride == 1 and channels == after
        shortcut = None if same else _convolution(nn, channels, after, 1, stride)
        layers += [_sum(nn, body, shortcut), nn.ReLU()]
        channels = after
    return nn.Sequential(*layers, *_classifier(nn, 512))


def _densenet(nn: Any, torch: Any) -> Any:
    """Source: G. Huang et al., CVPR 2017, table 1 (121 layers, growth rate 32)."""

    class Dense(nn.Module):  # type: ignore[misc]
        def __init__(self, before: int) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.BatchNorm2d(before),
                nn.ReLU(),
                _convolution(nn, before, 128, 1, act=nn.ReLU),
                nn.Conv2d(128, 32, 3, padding=1, bias=False),
            )

        def forward(self, values: Any) -> Any:
            return torch.cat((values, self.body(values)), 1)

    layers, channels = [_convolution(nn, 3, 64, 7, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)], 64
    for position, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            layers.append(Dense(channels))
            channels += 32
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if position < 3:
            layers += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, *_classifier(nn, channels))


def _vgg(nn: Any, torch: Any) -> Any:
    """Source: K. Simonyan and A. Zisserman, ICLR 2015, table 1 (A), a smaller classifier."""
    layers: list[Any] = []
    channels = 3
    for after in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if after:
            layers += [nn.Conv2d(channels, after, 3, padding=1), nn.ReLU()]
            channels = after
        else:
            layers.append(nn.MaxPool2d(2))
    dense = [nn.Flatten(), nn.Linear(512 * 4, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 10)]
    for layer in (*layers, *dense):
        # By K. He et al., ICCV 2015, section 2.2: no normalizing layer keeps signals alive.
        if hasattr(layer, "weight"):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers, *dense)


def _lstm(nn: Any, torch: Any) -> Any:
    """Two layers, both directions; the last step is classified."""

    class Sequence(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(16, 32, num_layers=2, batch_first=True, bidirectional=True)
            self.dense = nn.Linear(64, 10)

        def forward(self, values: Any) -> Any:
            return self.dense(self.recurrent(values)[0][:, -1])

    return Sequence()


def _transformer(nn: Any, torch: Any) -> Any:
    """Source: A. Vaswani et al., NeurIPS 2017, section 3.1; learned positions."""

    class Encoder(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(100, 32)
            self.positions = nn.Parameter(torch.randn(1, 16, 32))
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.dense = nn.Linear(32, 10)

        def forward(self, tokens: Any) -> Any:
            return self.dense(self.layers(self.tokens(tokens) + self.positions).mean(1))

    return Encoder()


def _detector(nn: Any, torch: Any) -> Any:
    """Two feature maps, each with boxes and scores, as single-shot detectors have them.

    Source: W. Liu et al., ECCV 2016, figure 2.
    """

    class Detector(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(
                _convolution(nn, 3, 16, 3, 2, act=nn.ReLU),
                _convolution(nn, 16, 32, 3, 2, act=nn.ReLU),
            )
            self.second = _convolution(nn, 32, 64, 3, 2, act=nn.ReLU)
            self.boxes = nn.ModuleList([nn.Conv2d(c, 3 * 4, 3, padding=1) for c in (32, 64)])
            self.scores = nn.ModuleList([nn.Conv2d(c, 3 * 5, 3, padding=1) for c in (32, 64)])

        def forward(self, image: Any) -> tuple[Any, Any]:
            first = self.first(image)
            maps = (first, self.second(first))
            return (
                _joined(torch, self.boxes, maps, 4),
                _joined(torch, self.scores, maps, 5).softmax(-1),
            )

    return Detector()


def _joined(torch: Any, heads: Any, maps: Sequence[Any], values: int) -> Any:
    parts = [
        head(one).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, values))
        for head, one in zip(heads, maps, strict=True)
    ]
    return torch.cat(parts, 1)


IMAGE = (1, 3, 64, 64)
MODELS = {
    "mobilenet_v2": Listed(_mobilenet_v2, IMAGE),
    "mobilenet_v3_small": Listed(_mobilenet_v3, IMAGE),
    "resnet18": Listed(_resnet, IMAGE),
    "densenet121": Listed(_densenet, IMAGE),
    "efficientnet_b0": Listed(_efficientnet, IMAGE),
    "vgg11": Listed(_vgg, IMAGE),
    "lstm": Listed(_lstm, (1, 12, 16)),
    "transformer": Listed(_transformer, (1, 16), "int64"),
    "detector": Listed(_detector, IMAGE),
}
