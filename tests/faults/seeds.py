"""Write the beginning of the corpus: conversations as hosts hold them, whole and cut short.

Run: ``python -m tests.faults.seeds``. What the fuzzer finds beyond them is added by hand.
"""

import hashlib
import json

import numpy as np

from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.frames import Flag, Type
from edge_tester.core.wire.payloads import Block, Hello, ModelDescription, Proof, encode
from tests.faults.fuzzing import CLIENT, CORPUS, FRAMED, STRANGER


def frame(type: int, payload: bytes = b"", sequence: int = 0, flags: int = 0) -> bytes:
    """Return a message."""
    return frames.encode_header(type, flags, sequence, len(payload)) + payload


def conversations() -> dict[str, bytes]:
    """Return each by its name."""
    spec = {"name": "x", "shape": [None, 4], "dtype": "uint8"}
    model = json.dumps({"inputs": [spec], "outputs": [spec]}).encode()
    description = ModelDescription(
        format="echo",
        size_bytes=len(model),
        sha256=hashlib.sha256(model).hexdigest(),
        name="m.echo",
        slots=4,
    )
    said = encode(description)
    data = payloads.TENSORS.pack(0, 0) + np.arange(4, dtype=np.uint8).tobytes()
    hello = frame(Type.HELLO, encode(Hello(client="a host", features=["offer", "schedule"])))
    upload = frame(Type.MODEL, len(said).to_bytes(4, "big") + said + model, 1)
    process = Block(0, 1, 3, 1).encoded()
    arrivals = Block(0, 1, 2, 0, (0, 1000)).encoded()
    output = payloads.OUTPUT.pack(0, 0)
    classical = [
        frame(Type.DATA, data, 2),
        frame(Type.PROCESS, process, 3),
        frame(Type.OUTPUT, output, 4),
        frame(Type.STATS, b"", 5),
    ]
    flight = [
        frame(Type.DATA, data, 6, Flag.MORE),
        frame(Type.PROCESS, arrivals, 7, Flag.MORE),
        frame(Type.OUTPUT, output, 8, Flag.MORE),
        frame(Type.STATS, b"", 9),
    ]
    whole = b"".join([hello, frame(Type.OFFER, said, 10), upload, *classical, *flight])
    asked = frame(Type.HELLO, encode(Hello(client="a host", ask="status", nonce="0" * 64)))
    proof = frame(Type.PROOF, encode(Proof("0" * 64)), 1)
    client, stranger = bytes([CLIENT]), bytes([STRANGER])
    framed = b"".join(
        bytes([type]) + len(payload).to_bytes(2, "big") + payload
        for type, payload in (
            (Type.HELLO, encode(Hello(client="a host"))),
            (Type.MODEL, len(said).to_bytes(4, "big") + said + model),
            (Type.DATA, data),
            (Type.PROCESS, process),
            (Type.OUTPUT, output),
            (Type.STATS, b""),
        )
    )
    return {
        "framed": bytes([CLIENT | FRAMED]) + framed,
        "framed-stranger": bytes([STRANGER | FRAMED]) + framed,
        "whole": client + whole,
        "classical": client + hello + upload + b"".join(classical),
        "flight": client + hello + upload + b"".join(flight),
        "cut": client + whole[: len(whole) // 2],
        "checksums": client + hello[:6] + b"\0\2" + hello[8:] + b"\0\0\0\0",
        "proof": stranger + asked + proof,
        "asked": stranger + asked,
        "hello": stranger + hello,
    }


def main() -> None:
    """Write all."""
    CORPUS.mkdir(exist_ok=True)
    for name, content in conversations().items():
        (CORPUS / f"{name}.bin").write_bytes(content)


if __name__ == "__main__":
    main()
