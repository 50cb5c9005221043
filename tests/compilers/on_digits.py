"""What the tests of compilers have in common: a small classifier and its data set."""

import pytest

from edge_tester.testing import CompilerConformance

# Of the digits classifier without its biases: two 3 x 3 convolutions, 128 x 10.
DIGITS_WEIGHTS = 9 * 16 + 9 * 16 * 32 + 128 * 10


class OnDigits(CompilerConformance):
    """Calibrates with the digits; compiles the classifier in PyTorch unless told otherwise."""

    @pytest.fixture
    def dataset(self, digits):
        return digits

    @pytest.fixture
    def model(self, torch_digits):
        return torch_digits
