"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from edge_tester.core.system.download import PublishedFile
from edge_tester.datasets._idx import IdxDataset

# The first two are complete mirrors; the authors' own place has not always answered.
PLACES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
# As torchvision lists them (torchvision/datasets/mnist.py).
CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
}


class MNISTDataset(IdxDataset):
    """60,000 handwritten digits of 28 x 28 pixels for training, 10,000 for testing.

    Samples have one input of shape (samples, 28, 28, 1), or (samples, 1, 28, 28)
    for a model with the channel first; float32, 0 to 1.

    Notes
    -----
    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning
    Applied to Document Recognition", Proceedings of the IEEE, 1998.
    """

    files = tuple(
        PublishedFile(name, tuple(place + name for place in PLACES), checksum)
        for name, checksum in CHECKSUMS.items()
    )
    names = tuple(str(digit) for digit in range(10))
