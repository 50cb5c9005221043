import pytest

from tests.report.records import record


@pytest.fixture
def four():
    """Four classifications; the second is certainly the fastest and the smallest."""
    return [
        record("float32", scale_ns=12_000, size_bytes=28_056, seed=1),
        record("int8", scale_ns=7_000, size_bytes=9_800, seed=2),
        record("other-float32", scale_ns=95_000, size_bytes=27_615, seed=3),
        record("other-int8", scale_ns=60_000, size_bytes=11_200, seed=4),
    ]
