"""A small pet data set in exactly the layout of the original."""

import numpy as np
from PIL import Image

# Class, species and breed of the species, as in list.txt; the original numbers classes so too.
BREEDS = {"Abyssinian": (1, 1, 1), "american_bulldog": (2, 2, 1), "Bengal": (3, 1, 2)}
TRAINING_EACH, TEST_EACH = 8, 4
WIDTH, HEIGHT = 24, 16
# Left, top, right, bottom of the pet in every image; its border is one pixel around.
PET = (6, 4, 16, 12)
HEADER = (
    "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n"
    "#SPECIES: 1:Cat 2:Dog\n#BREED ID: 1-25:Cat 1:12:Dog\n"
)
XML = "<annotation><object><name>{0}</name></object></annotation>"


def lines(first, count):
    return [
        f"{name}_{number} {' '.join(map(str, numbers))}"
        for name, numbers in BREEDS.items()
        for number in range(first, first + count)
    ]


def make(root):
    """Make images whose pet is of a color that tells the breed, on black."""
    annotations, images = root / "annotations", root / "images"
    for folder in (images, annotations / "xmls", annotations / "trimaps"):
        folder.mkdir(parents=True)
    training, test = lines(100, TRAINING_EACH), lines(1, TEST_EACH)
    (annotations / "list.txt").write_text(HEADER + "\n".join(sorted(training + test)) + "\n")
    (annotations / "trainval.txt").write_text("\n".join(training) + "\n")
    (annotations / "test.txt").write_text("\n".join(test) + "\n")
    left, top, right, bottom = PET
    trimap = np.full((HEIGHT, WIDTH), 2, np.uint8)
    trimap[top:bottom, left:right] = 3
    trimap[top + 1 : bottom - 1, left + 1 : right - 1] = 1
    for line in training + test:
        name, breed = line.split()[:2]
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        pixels[top:bottom, left:right, int(breed) - 1] = 200
        Image.fromarray(pixels).save(images / f"{name}.jpg", quality=95)
        Image.fromarray(trimap).save(annotations / "trimaps" / f"{name}.png")
        (annotations / "xmls" / f"{name}.xml").write_text(XML.format(name))
    # The original has such files too.
    (images / "Abyssinian_100.mat").write_bytes(b"no image")
    (annotations / "trimaps" / "._Abyssinian_100.png").write_bytes(b"no image")
    return root
