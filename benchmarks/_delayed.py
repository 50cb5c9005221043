"""A link that takes time: carry every connection to a port, each byte a moment later.

Run: ``python _delayed.py PORT DELAY_S``; prints its own port. Bandwidth is not limited.
"""

import contextlib
import queue
import socket
import sys
import threading
import time


def carry(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
    """Carry one direction."""
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()

    def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due_s, piece = waiting.get()
                if (left_s := due_s - time.perf_counter()) > 0:
                    time.sleep(left_s)
                if not piece:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(piece)

    threading.Thread(target=deliver, daemon=True).start()
    with contextlib.suppress(OSError):
        piece = b"-"
        while piece:
            piece = source.recv(1 << 18)
            waiting.put((time.perf_counter() + delay_s, piece))


def main() -> None:
    """Serve until killed."""
    port, delay_s = int(sys.argv[1]), float(sys.argv[2])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    # Threads of Python give each other way every 5 ms otherwise.
    sys.setswitchinterval(1e-5)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=carry, args=(source, sink, delay_s), daemon=True).start()


if __name__ == "__main__":
    main()
