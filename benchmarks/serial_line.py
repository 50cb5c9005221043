"""How much of what a serial line carries is data: over pseudo-terminals at the speed of a line.

Run: ``python benchmarks/serial_line.py``. A thread carries as many bytes as a line of that speed
would, and harms some of them.
"""

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_tester.runtimeprotocols.serial import SerialProtocol  # noqa: E402
from tests.cables import Cable  # noqa: E402

BITS_PER_BYTE = 10
LASTING_S = 4.0


def share_of(baud: int, flipped: float) -> tuple[float, float]:
    """Return what data take of the line's bytes per second, and bytes sent per byte of data."""
    size = round(baud / BITS_PER_BYTE * LASTING_S)
    with Cable(1, baud=baud, flipped=flipped) as cable:
        target = SerialProtocol(serial_port=Path(cable.devices[1]), baud=baud)
        listener = target.start_server()
        host = SerialProtocol(serial_port=Path(cable.devices[0]), baud=baud)
        host.start_client()
        connection, _ = listener.accept()
        content = os.urandom(size)
        begin_s = time.perf_counter()
        sender = threading.Thread(target=host.connection.sendall, args=(content,))
        sender.start()
        received = bytearray()
        while len(received) < size:
            received += connection.recv(1 << 16)
        lasting_s = time.perf_counter() - begin_s
        sender.join()
        if bytes(received) != content:
            raise SystemExit("What arrived is not what was sent.")
        host.disconnect()
        connection.close()
        listener.close()
        return size * BITS_PER_BYTE / baud / lasting_s, cable.carried[0] / size


def main() -> None:
    """Print a line for each speed."""
    for baud in (115_200, 460_800, 921_600):
        for flipped in (0.0, 8e-5, 8e-4):
            share, sent = share_of(baud, flipped)
            noise = f"1 bit in {8 / flipped:,.0f} wrong" if flipped else "clean"
            print(
                f"{baud:9,} baud, {noise:25}: {share:5.1%} of the line, "
                f"{sent:.3f} bytes sent per byte"
            )


if __name__ == "__main__":
    main()
