"""A serial cable between two pseudo-terminals, which harms bytes as real ones do."""

import contextlib
import os
import pty
import random
import select
import termios
import threading
import time
import tty


class Cable:
    """Carries bytes between two devices until it is closed.

    Parameters
    ----------
    seed : int
        Of what happens to the bytes.
    flipped, lost, doubled, inserted : float
        How often a bit of a byte is wrong, and a byte is lost, doubled, or noise comes before it.
    baud : int, optional
        Bits per second that it carries; as fast as it can by default.

    Attributes
    ----------
    devices : tuple of str
        Of the host and of the target.
    pulled : bool
        Whether nothing gets through.
    harmed : int
        How often something happened to a byte.
    """

    def __init__(self, seed=0, *, flipped=0.0, lost=0.0, doubled=0.0, inserted=0.0, baud=None):
        self._random = random.Random(seed)
        self._rates = (lost, doubled, inserted, flipped)
        self._baud = baud
        self.pulled = False
        self.harmed = 0
        self.carried = [0, 0]
        ends = [pty.openpty() for _ in range(2)]
        self._masters = [master for master, _ in ends]
        # Held open: a device that nobody has open is hung up.
        self._slaves = [slave for _, slave in ends]
        for slave in self._slaves:
            tty.setraw(slave, termios.TCSANOW)
        for master in self._masters:
            os.set_blocking(master, False)
        self.devices = tuple(os.ttyname(slave) for slave in self._slaves)
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._carry, args=(one, 1 - one), daemon=True)
            for one in range(2)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.unplug()

    def unplug(self):
        """Let both devices be gone."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        while self._masters:
            os.close(self._masters.pop())
        while self._slaves:
            os.close(self._slaves.pop())

    def _carry(self, here, there):
        poll = select.poll()
        poll.register(self._masters[here], select.POLLIN)
        # What a UART takes at once; the rest waits with the sender, as behind a real one.
        piece_bytes = 4096 if self._baud is None else max(1, self._baud // 10 // 500)
        due_s = time.perf_counter()
        while not self._ending.is_set():
            if not poll.poll(50):
                due_s = time.perf_counter()
                continue
            with contextlib.suppress(BlockingIOError):
                piece = os.read(self._masters[here], piece_bytes)
                self.carried[here] += len(piece)
                if self._baud is not None:
                    due_s = max(due_s, time.perf_counter() - 0.05) + len(piece) * 10 / self._baud
                    time.sleep(max(0.0, due_s - time.perf_counter()))
                if not self.pulled:
                    self._write(self._masters[there], self._harmed(piece))

    def _write(self, descriptor, piece):
        while piece and not self._ending.is_set():
            try:
                piece = piece[os.write(descriptor, piece) :]
            except BlockingIOError:
                time.sleep(0.001)

    def _harmed(self, piece):
        if not any(self._rates):
            return piece
        found = bytearray()
        lost, doubled, inserted, flipped = self._rates
        for byte in piece:
            chance = self._random.random()
            if chance < lost:
                self.harmed += 1
                continue
            if chance < lost + doubled:
                self.harmed += 1
                found.append(byte)
            elif chance < lost + doubled + inserted:
                self.harmed += 1
                found += self._random.randbytes(self._random.randrange(1, 9))
            elif chance < lost + doubled + inserted + flipped:
                self.harmed += 1
                byte ^= 1 << self._random.randrange(8)
            found.append(byte)
        return bytes(found)
