"""Fashion-MNIST: 70,000 photographs of clothes in the format of MNIST."""

from __future__ import annotations

from edge_tester.core.system.download import PublishedFile
from edge_tester.datasets._idx import IdxDataset

PLACES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
# As its publishers list them (github.com/zalandoresearch/fashion-mnist, README).
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}


class FashionMNISTDataset(IdxDataset):
    """60,000 images of clothes of 28 x 28 pixels for training, 10,000 for testing.

    Samples have one input of shape (samples, 28, 28, 1), or (samples, 1, 28, 28)
    for a model with the channel first; float32, 0 to 1.

    Notes
    -----
    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset
    for Benchmarking Machine Learning Algorithms", arXiv:1708.07747, 2017.
    """

    files = tuple(
        PublishedFile(name, tuple(place + name for place in PLACES), checksum)
        for name, checksum in CHECKSUMS.items()
    )
    names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
