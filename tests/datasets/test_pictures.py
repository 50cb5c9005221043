"""What pictures of every kind look like to a model."""

import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError, OptionError
from edge_tester.core.tensors import TensorSpec
from edge_tester.datasets.image_folder import ImageFolderDataset

SIZE = 8


def spec(channels=3, size=SIZE, dtype="float32", **more):
    return TensorSpec("image", (None, size, size, channels), dtype, **more)


@pytest.fixture
def make(tmp_path):
    """Save images under their names, and return the bound data set."""

    def bound(images, model=None, **options):
        for name, image in images.items():
            path = tmp_path / "class" / name
            path.parent.mkdir(exist_ok=True)
            if isinstance(image, bytes):
                path.write_bytes(image)
            else:
                image, more = image if isinstance(image, tuple) else (image, {})
                image.save(path, **more)
        dataset = ImageFolderDataset(dataset_root=tmp_path, **options)
        dataset.prepare()
        dataset.bind([model or spec()])
        return dataset

    return bound


def first(dataset):
    return dataset.load([0]).inputs[0][0]


def told(dataset):
    return [remark for remark in dataset.remarks() if " pictures " in remark]


def gray16(values=(0, 4095, 25700, 65535)):
    return Image.fromarray(np.tile(np.array(values, np.uint16).repeat(2), (SIZE, 1)))


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_meaning(make, suffix, channels):
    dataset = make({f"a.{suffix}": gray16()}, spec(channels))
    row = first(dataset)[0, ::2]
    assert pytest.approx([0, 4095 / 257, 100, 255], abs=1e-4) == row[:, 0]
    assert [255.0] * 4 == row[:, 3].tolist() if channels == 4 else True
    assert (channels == 1) or np.array_equal(row[:, 0], row[:, 2])
    (remark,) = told(dataset)
    assert remark.startswith("1 of 1 pictures have more than 8 bits")
    assert "largest value" not in remark


def test_fewer_bits_in_sixteen_are_pointed_out_and_can_be_told(make):
    dark = gray16((0, 1000, 2000, 4095))
    dataset = make({"a.png": dark})
    first(dataset)
    assert "The largest value in them is 4095" in told(dataset)[0]
    dataset = make({"a.png": dark}, pixel_range=(0, 4095))
    assert (
        pytest.approx([0, 1000 / 4095 * 255, 2000 / 4095 * 255, 255]) == first(dataset)[0, ::2, 0]
    )
    assert "0 to 4095 became 0 to 255" in told(dataset)[0]
    with pytest.raises(DatasetError, match="pixel_range is 0 to 4000, but .*a.png.* 0 to 4095"):
        first(make({"a.png": dark}, pixel_range=(0, 4000)))


def test_white_may_be_zero(make):
    dataset = make({"a.tif": (gray16(), {"tiffinfo": {262: 0}})})
    assert pytest.approx([255, 255 - 4095 / 257, 155, 0], abs=1e-4) == first(dataset)[0, ::2, 0]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_ranges_that_nobody_knows_are_asked_for(make, dtype):
    values = np.array([[0, 1], [2, 4]], dtype)
    images = {"a.tif": Image.fromarray(values)}
    with pytest.raises(DatasetError, match="from 0 to 4, .*--pixel-range BLACK WHITE"):
        first(make(images))
    dataset = make(images, spec(1, 2), pixel_range=(0, 4))
    assert pytest.approx(values / 4 * 255) == first(dataset)[..., 0]


def test_pixels_that_are_no_numbers_are_refused(make):
    images = {"a.tif": Image.fromarray(np.array([[0, np.nan]], np.float32))}
    with pytest.raises(DatasetError, match="pixel_range is 0 to 1, but"):
        first(make(images, pixel_range=(0, 1)))


def hidden(mode):
    """A black symbol in the upper half of a transparent image whose hidden color is red."""
    pixels = np.zeros((SIZE, SIZE, 4), np.uint8)
    pixels[SIZE // 2 :, :, 0] = 255
    pixels[: SIZE // 2, :, 3] = 255
    if mode == "LA":
        return Image.fromarray(pixels[..., [0, 3]])
    if mode == "RGBA":
        return Image.fromarray(pixels)
    if mode == "RGB":
        return Image.fromarray(pixels[..., :3]), {"transparency": (255, 0, 0)}
    if mode == "L":
        return Image.fromarray(pixels[..., 0]), {"transparency": 255}
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {"transparency": 65535}
    indexed = Image.fromarray((pixels[..., 3] == 0).astype(np.uint8), "P")
    indexed.putpalette([0, 0, 0, 255, 0, 0])
    return indexed, {"transparency": 1}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L", "P", "I;16"])
def test_transparent_pictures_are_laid_on_a_ground(make, mode, channels):
    dataset = make({"a.png": hidden(mode)}, spec(channels))
    pixels = first(dataset)
    assert (0, 255) == (pixels[0].max(), pixels[-1].min())
    assert any("1 of 1 pictures are transparent" in remark for remark in told(dataset))
    gray = first(make({"a.png": hidden(mode)}, spec(channels), background="gray"))
    assert pytest.approx(128, abs=1) == gray[-1]


def test_the_ground_can_be_a_color(make):
    dataset = make({"a.png": hidden("RGBA")}, background="10,20,30")
    assert [10.0, 20.0, 30.0] == first(dataset)[-1, 0].tolist()
    assert "laid on 10,20,30" in told(dataset)[0]
    for wrong in ("", "pink", "1,2", "1,2,256"):
        with pytest.raises(OptionError, match="background must be white, gray, black, or"):
            ImageFolderDataset(dataset_root="x", background=wrong)


def test_half_transparent_pixels_mix_with_the_ground(make):
    pixels = np.full((SIZE, SIZE, 4), (0, 0, 0, 51), np.uint8)
    assert pytest.approx(204, abs=1) == first(make({"a.png": Image.fromarray(pixels)}))


def test_opaque_pictures_with_an_alpha_channel_are_not_mentioned(make):
    pixels = np.full((SIZE, SIZE, 4), (9, 9, 9, 255), np.uint8)
    dataset = make({"a.png": Image.fromarray(pixels)})
    assert 9 == first(dataset).max()
    assert [] == told(dataset)


def test_models_of_four_channels_get_the_transparency(make):
    dataset = make({"a.png": hidden("RGBA")}, spec(4))
    assert np.array_equal(np.asarray(hidden("RGBA"), np.float32), first(dataset))
    assert [] == told(dataset)


def rising():
    return Image.fromarray(np.tile(np.arange(SIZE, dtype=np.uint8)[:, None] * 30, (1, SIZE)))


def turned(image, orientation=3):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image, {"exif": exif}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_orientation_is_ignored_and_said_unless_asked_for(make, suffix):
    images = {f"{n}.{suffix}": rising() for n in range(3)}
    images[f"1.{suffix}"] = turned(rising())
    dataset = make(images)
    upright, stored, _ = dataset.load([0, 1, 2]).inputs[0]
    assert np.array_equal(upright, stored)
    (remark,) = told(dataset)
    assert remark.startswith("1 of 3 pictures have an EXIF orientation, which was ignored")
    assert {"loaded": 3, "exif_orientation": 1} == dataset.facts()["pictures"]
    dataset = make(images, apply_exif_orientation=True)
    upright, shown, _ = dataset.load([0, 1, 2]).inputs[0]
    assert np.abs(upright - shown[::-1, ::-1]).max() <= 3
    assert told(dataset)[0].startswith("1 of 3 pictures were turned by their EXIF")


def test_a_picture_counts_once_and_only_when_it_was_loaded(make):
    dataset = make({f"{n}.jpg": turned(rising()) for n in range(4)})
    assert [] == told(dataset)
    assert "pictures" not in dataset.facts()
    dataset.load([0, 1])
    dataset.load([1, 1])
    assert told(dataset)[0].startswith("2 of 2 pictures")


def test_of_several_frames_the_first_is_taken(make):
    frames = [Image.fromarray(np.full((SIZE, SIZE), level, np.uint8)) for level in (10, 200)]
    for suffix in ("gif", "tif", "webp"):
        more = {"save_all": True, "append_images": frames[1:], "duration": 100}
        dataset = make({f"a.{suffix}": (frames[0], more)})
        found = [path.suffix for path in dataset.files].index(f".{suffix}")
        assert abs(dataset.load([found]).inputs[0] - 10).max() <= 2
        assert told(dataset)[0].startswith("1 of 1 pictures have several frames or pages")


COLORS = np.zeros((SIZE, SIZE, 3), np.uint8)
COLORS[: SIZE // 2] = (220, 40, 30)
COLORS[SIZE // 2 :] = (20, 60, 200)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", "jpg"), ("CMYK", "tif"), ("P", "gif"), ("1", "png"), ("YCbCr", "tif"), ("L", "bmp")],
)
def test_other_color_spaces_are_as_pillow_converts_them(make, mode, suffix, tmp_path):
    dataset = make({f"a.{suffix}": Image.fromarray(COLORS).convert(mode)})
    expected = np.asarray(Image.open(tmp_path / "class" / f"a.{suffix}").convert("RGB"))
    assert np.array_equal(expected, first(dataset))


def test_color_spaces_that_pillow_cannot_convert_are_refused(make):
    lab = Image.merge("LAB", [Image.fromarray(COLORS[..., 0])] * 3)
    with pytest.raises(DatasetError, match="a.tif: it is in the LAB color space; save it as RGB"):
        first(make({"a.tif": lab}))


def test_colors_that_are_made_gray_are_said(make):
    gray = Image.fromarray(COLORS).convert("L")
    dataset = make(
        {"a.png": Image.fromarray(COLORS), "b.png": gray, "c.png": gray.convert("RGB")}, spec(1)
    )
    pixels = dataset.load([0, 1, 2]).inputs[0]
    assert np.array_equal(pixels[0], pixels[1])
    assert told(dataset) == [
        "1 of 3 pictures have colors and were made gray: the model takes one channel."
    ]


def test_much_stretching_and_enlarging_is_said(make):
    blank = np.zeros((2 * SIZE, 4 * SIZE), np.uint8)
    images = {"a.png": Image.fromarray(blank), "b.png": Image.fromarray(blank[:, : 2 * SIZE])}
    images["c.png"] = Image.fromarray(blank[:2, :2])
    dataset = make(images)
    dataset.load([0, 1, 2])
    stretched, enlarged = told(dataset)
    assert "1 of 3 pictures were stretched" in stretched
    assert "2.00 times" in stretched
    assert "1 of 3 pictures are smaller" in enlarged
    assert "4.0 times" in enlarged
    cropped = make(images, resize="crop")
    cropped.load([0, 1])
    assert [] == told(cropped)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_models_that_take_integers_get_pixels(make, dtype):
    dataset = make({"a.png": Image.fromarray(COLORS)}, spec(dtype=dtype), antialias=False)
    assert np.array_equal(COLORS, spec(dtype=dtype).conform(dataset.load([0]).inputs[0])[0])


@pytest.mark.parametrize("values", [(1,), (3, 2), (1, 1), (1, 2, 3)])
def test_impossible_ranges_are_refused(values):
    with pytest.raises(OptionError, match="pixel_range must be two numbers"):
        ImageFolderDataset(dataset_root="x", pixel_range=values)


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_models_without_an_axis_of_channels_get_gray(make, batch):
    model = TensorSpec("image", (batch, SIZE, 2 * SIZE), "float32")
    images = {f"{n}.png": Image.fromarray(COLORS) for n in range(2)}
    dataset = make(images, model, inference_batch_size=batch or 1)
    gray = Image.fromarray(COLORS).convert("L").resize((2 * SIZE, SIZE))
    found = dataset.load([0, 1]).inputs[0]
    assert (2, SIZE, 2 * SIZE) == found.shape
    assert np.array_equal(np.asarray(gray, np.float32), found[1])
