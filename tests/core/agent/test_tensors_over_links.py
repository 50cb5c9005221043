"""Numbers of every type arrive over every link as they were sent."""

import json

import numpy as np
import pytest

from edge_tester.core.artifact import Artifact
from tests.core.agent.guarded import connected

DTYPES = ("float32", "float16", "float64", "int8", "int64", "uint8", "bool")


@pytest.fixture(params=["token", "mac", "tls"])
def client(request, guarded, mutual, lab):
    if request.param == "tls":
        credentials = {"tls_ca": lab / "ca.pem", "tls_certificate": lab / "host-alice.pem"}
        client = connected(port=mutual.port, **credentials)
    else:
        mac = request.param == "mac"
        client = connected(guarded.host, token_file=lab / "token", mac=mac)
    yield client
    client.disconnect()


def model_of(folder, shapes) -> Artifact:
    specs = [
        {"name": f"{dtype} {number}", "shape": shape, "dtype": dtype}
        for number, shape in enumerate(shapes)
        for dtype in DTYPES
    ]
    path = folder / "many.echo"
    path.write_text(json.dumps({"inputs": specs, "outputs": specs}))
    return Artifact.from_file(path)


def values_of(shape, dtype, seed):
    draw = np.random.default_rng(seed)
    return (100 * draw.normal(size=shape)).astype(dtype)


def assert_given_back(client, sent):
    found = client.run_block(sent).outputs
    for mine, theirs in zip(sent, found, strict=True):
        assert [one.dtype for one in mine] == [one.dtype for one in theirs]
        assert all(map(np.array_equal, mine, theirs))


def test_numbers_of_every_type_are_given_back(client, tmp_path):
    shapes = [(2, 3), (), (1, 3, 96, 96)]
    client.upload_model(model_of(tmp_path, shapes), slots=3)
    sent = [
        [values_of(shape, dtype, slot) for shape in shapes for dtype in DTYPES]
        for slot in range(client.slots)
    ]
    assert_given_back(client, sent)


def test_what_lies_otherwise_in_memory_is_given_back(client, tmp_path):
    client.upload_model(model_of(tmp_path, [(4, 6), (8,)]))
    sent = [values_of((6, 4), dtype, 0).T for dtype in DTYPES]
    sent += [values_of((16,), dtype, 1)[::2] for dtype in DTYPES]
    assert_given_back(client, [sent])
