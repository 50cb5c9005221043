"""How published models want their pictures prepared: one recipe for each usual way."""

from __future__ import annotations

import msgspec

# Of ImageNet's training images, red, green and blue, 0 to 1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
RESIZES = ("stretch", "crop", "cut")
USUAL_FRACTION = 0.875


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is done to a picture between its file and the model.

    Attributes
    ----------
    resize : str
        ``stretch``; ``crop`` fits the shorter side to ``shorter_side``, or to the
        model's size by ``crop_fraction``, and crops the center; ``cut`` takes
        ``crop_fraction`` of height and width out of the center and stretches it.
    antialias : bool
        Whether a smaller picture is the mean of all pixels (Pillow, torchvision), or
        of the nearest ones alone (tf.image, OpenCV).
    scale, mean, std : numbers
        A sample is ``(pixel * scale - mean) / std``, in the model's order of channels.
    quantized_pixels : bool
        Whether pixels are the integers that a quantized model takes.
    """

    resize: str = "stretch"
    interpolation: str = "bilinear"
    antialias: bool = True
    shorter_side: int | None = None
    crop_fraction: float | None = None
    channel_order: str = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    quantized_pixels: bool = False

    @property
    def normalizes(self) -> bool:
        """Whether samples leave as anything but pixels from 0 to 255."""
        return self.scale != 1 or bool(self.mean or self.std) or self.quantized_pixels


_CENTER = Recipe(resize="crop", crop_fraction=USUAL_FRACTION)
_TENSORFLOW = msgspec.structs.replace(_CENTER, antialias=False)
_TORCH_VALUES = {"scale": 1 / 255, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}

# Sources: torchvision, references/classification/presets.py; timm, data/transforms_factory.py;
# keras, applications/imagenet_utils.py; tensorflow/models, research/slim/preprocessing/
# inception_preprocessing.py, which cuts before it resizes.
RECIPES = {
    "torchvision": msgspec.structs.replace(_CENTER, **_TORCH_VALUES),
    "timm-bicubic": msgspec.structs.replace(_CENTER, interpolation="bicubic", **_TORCH_VALUES),
    "keras-tf": msgspec.structs.replace(_TENSORFLOW, scale=1 / 127.5, mean=(1.0,)),
    "keras-caffe": msgspec.structs.replace(
        _TENSORFLOW, channel_order="bgr", mean=(103.939, 116.779, 123.68)
    ),
    "keras-torch": msgspec.structs.replace(_TENSORFLOW, **_TORCH_VALUES),
    "tflite-uint8": msgspec.structs.replace(_TENSORFLOW, resize="cut", quantized_pixels=True),
}
