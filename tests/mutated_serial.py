"""Changes that let a serial line lose, double or damage bytes, for :mod:`tests.mutations`."""

from tests.mutated import Mutation

PACKETS = "edge_tester/core/wire/serialpackets.py"
LINK = "edge_tester/core/wire/seriallink.py"
LINE = "edge_tester/core/wire/serialline.py"

_TESTS = ("tests/core/wire/test_seriallink.py",)
_REAL = ("tests/runtimeprotocols/test_serial.py", "-k", "not Conformance")


def _wrong(path: str, old: str, new: str, what: str, tests: tuple[str, ...] = _TESTS) -> Mutation:
    return Mutation(path, old, new, what, tests)


SERIAL = (
    _wrong(PACKETS, "if zlib.crc32(content) != _CRC", "if False and _CRC", "wrong bits are taken"),
    _wrong(PACKETS, "while len(piece) >= _LONGEST_BLOCK", "while len(piece) > 999", "long blocks"),
    _wrong(PACKETS, " or 0 in block", "", "a zero within a form"),
    _wrong(
        PACKETS,
        "piece[: ENCODED_LIMIT_BYTES + 1 - len(self._held)]",
        "piece",
        "noise takes memory",
    ),
    _wrong(LINK, "        if ahead >= self._room():\n", "        if False:\n", "doubled packets"),
    _wrong(
        LINK,
        "        if gone > len(self._sent):\n",
        "        if False:\n",
        "an answer from before is taken for one of now",
    ),
    _wrong(LINK, "            self._again.extend(new)\n", "", "the last packet is not sent again"),
    _wrong(
        LINK,
        "                self._again.append(number)\n",
        "                pass\n",
        "what is missing waits for its time to be over",
    ),
    _wrong(LINK, "min(self._window, WINDOW)", "WINDOW", "who does not read is flooded"),
    _wrong(
        LINK,
        '                one.sent_s = float("inf")\n',
        "                pass\n",
        "what has arrived is sent again",
    ),
    _wrong(LINK, "return self.reset or now_s", "return now_s", "an unknown session", _REAL),
    _wrong(LINK, "now_s - self._heard_s > LOST_S", "False", "who is gone is waited for for ever"),
    _wrong(LINE, "if self._reopen is None:", "if True:", "an adapter is lost for good", _REAL),
    _wrong(
        LINE,
        "            self._end()\n            theirs = self._begin(packet.session)\n",
        "            return\n",
        "nobody is served",
        _REAL,
    ),
    _wrong(
        LINE,
        "            self._replies.append(Packet(Kind.RESET, packet.session))\n",
        "            pass\n",
        "whose session is no more does not hear of it",
        _REAL,
    ),
)
