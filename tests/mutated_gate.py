"""Changes of who gets in and what holds an agent up, each of which must make its tests fail."""

from tests.mutated import Mutation

WIRE, AGENT, RUN = "edge_tester/core/wire", "edge_tester/core/agent", "edge_tester/core/run"
_AGENTS = "tests/core/agent"
TOKENS = ("tests/core/wire/test_tokens.py",)
GATE, MACS = (f"{_AGENTS}/test_gate.py",), (f"{_AGENTS}/test_macs.py",)
TLS = (f"{_AGENTS}/test_tls.py",)
DESK = (f"{_AGENTS}/test_desk.py",)
RECONNECTING = ("tests/core/run/test_reconnecting.py",)

GATES = (
    Mutation(
        f"{WIRE}/tokens.py",
        "hmac.new(token.encode(), label + about, hashlib.sha256).hexdigest()",
        "hmac.new(token.encode(), about, hashlib.sha256).hexdigest()",
        "the proof of a target is one of a host too",
        TOKENS,
    ),
    Mutation(
        f"{WIRE}/tokens.py",
        "about = hashlib.sha256(hello).digest() + hashlib.sha256(nonce.encode()).digest()",
        "about = 2 * hashlib.sha256(hello).digest()",
        "a proof that was heard is good again",
        TOKENS,
    ),
    Mutation(
        f"{WIRE}/tokens.py",
        "    if others:\n",
        "    if False:\n",
        "a token file that others can read is taken",
        TOKENS,
    ),
    Mutation(
        f"{WIRE}/greeting.py",
        "    if not tokens.same(payloads.decode(given, Proof).proof, proofs.target):\n",
        "    if False:\n",
        "a target without the token is believed",
        GATE,
    ),
    Mutation(
        f"{WIRE}/greeting.py",
        "        if known:\n",
        "        if False:\n",
        "a host with a token takes any target",
        GATE,
    ),
    Mutation(
        f"{AGENT}/gate.py",
        "        if found is None:\n",
        "        if False:\n",
        "whatever is said for a proof lets in",
        GATE,
    ),
    Mutation(
        f"{AGENT}/gate.py",
        "_FAILURES, _MEMORY_S, _PENALTY_S = 10, 60.0, 0.5",
        "_FAILURES, _MEMORY_S, _PENALTY_S = 10, 60.0, 0.0",
        "tokens are tried as fast as one can",
        GATE,
    ),
    Mutation(
        f"{AGENT}/reception.py",
        "        if not self._gate.closed:\n",
        "        if True:\n",
        "nobody is asked for a token",
        GATE,
    ),
    Mutation(
        f"{WIRE}/macs.py",
        "        self._count += 1\n",
        "",
        "a frame that was said before is good again",
        MACS,
    ),
    Mutation(
        f"{WIRE}/trailers.py",
        "        if self.strict and type != Type.ERROR:\n",
        "        if False:\n",
        "frames without a code are taken",
        MACS,
    ),
    Mutation(
        f"{WIRE}/trailers.py",
        "    if expected != said:\n",
        "    if False:\n",
        "what was changed on its way is taken",
        MACS,
    ),
    Mutation(
        f"{AGENT}/reception.py",
        "        if self._gate.mac and not peer.authenticates_frames:\n",
        "        if False:\n",
        "a target that wants codes takes hosts without",
        MACS,
    ),
    Mutation(
        f"{WIRE}/tls.py",
        "        context.verify_mode = ssl.CERT_REQUIRED\n",
        "        context.verify_mode = ssl.CERT_OPTIONAL\n",
        "hosts without a certificate get in",
        TLS,
    ),
    Mutation(
        f"{AGENT}/greeter.py",
        "            if len(self._greeted) > _GREETED_AT_ONCE:\n"
        "                next(iter(self._greeted)).cancel()\n",
        "            while len(self._greeted) > _GREETED_AT_ONCE:\n"
        "                await asyncio.sleep(0.1)\n",
        "silent strangers before TLS keep others out",
        TLS,
    ),
    Mutation(
        f"{AGENT}/desk.py",
        "        elif kept := self.kept_from(peer):\n",
        '        elif kept := "":\n',
        "others release a reservation",
        DESK,
    ),
    Mutation(
        f"{AGENT}/reception.py",
        "        reason = self._desk.kept_from(peer) or self._in_use()\n",
        "        reason = self._in_use()\n",
        "a reservation keeps nobody out",
        DESK,
    ),
    Mutation(
        f"{AGENT}/supervisor.py",
        "            if not self._sessions.in_use:\n                self._stopping = True\n",
        "            if True:\n                self._stopping = True\n",
        "an agent that is to leave ends the session",
        DESK,
    ),
    Mutation(
        "edge_tester/core/tensors.py",
        "[np.ascontiguousarray(one).reshape(-1).view(np.uint8) for one in tensors]",
        "[np.ascontiguousarray(one) for one in tensors]",
        "ciphers are given numbers of other types than bytes",
        ("tests/core/agent/test_tensors_over_links.py",),
    ),
    Mutation(
        f"{RUN}/replication.py",
        "        own = self._feed.indices[answered:]\n",
        "        own = self._feed.indices[max(0, answered - 1) :]\n",
        "a sample is answered twice after a link was lost",
        RECONNECTING,
    ),
    Mutation(
        f"{RUN}/running.py",
        "                    self._mended(tally)\n",
        "",
        "nothing is said of a link that was lost",
        RECONNECTING,
    ),
    Mutation(
        f"{RUN}/running.py",
        "            tally.begin(begun)\n",
        "            tally.begin(begun)\n            self._mended(tally)\n",
        "what takes its target down is begun again for ever",
        RECONNECTING,
    ),
    Mutation(
        f"{RUN}/together.py",
        "                if not isinstance(error, UnreachableError):\n",
        "                if True:\n",
        "runs that are measured together are given up with the first link that is lost",
        RECONNECTING,
    ),
    Mutation(
        f"{AGENT}/handshake.py",
        "_ORIGIN_BITS = 64",
        "_ORIGIN_BITS = 128",
        "who has one address of IPv6 tries from 2**64",
        GATE,
    ),
)
