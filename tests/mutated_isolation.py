"""Changes that let a model out, for :mod:`tests.mutations`."""

from tests.mutated import Mutation

CALLS = "edge_tester/core/agent/isolation_calls.py"
FILES = "edge_tester/core/agent/isolation_files.py"
PLACES = "edge_tester/core/agent/isolation_places.py"
ISOLATION = "edge_tester/core/agent/isolation.py"
ENVIRONMENT = "edge_tester/core/agent/environment.py"
CONSUMPTION = "edge_tester/core/agent/consumption.py"
TREES = "edge_tester/core/system/trees.py"
NUMBERS = "edge_tester/core/agent/isolation_numbers.py"
AGENT = "edge_tester/core/agent/agent.py"
HANDSHAKE = "edge_tester/core/agent/handshake.py"
SHELF = "edge_tester/core/agent/shelf.py"
KEEPER = "edge_tester/core/agent/storekeeper.py"
PROCESS = "edge_tester/core/agent/session_process.py"
SESSION = "edge_tester/core/agent/session.py"

_TESTS = ("tests/core/agent/test_isolation.py", "tests/core/agent/test_isolation_limits.py")
_STORE = ("tests/core/agent/test_storekeeper.py", "tests/core/agent/test_isolation.py")


def _out(path: str, old: str, new: str, what: str) -> Mutation:
    return Mutation(path, old, new, what, _TESTS)


ISOLATED = (
    _out(
        ISOLATION,
        "            isolation_calls.restrict()\n",
        "            pass\n",
        "any system call is made",
    ),
    _out(
        ISOLATION,
        "            isolation_files.restrict(places)\n",
        "            list(places)\n",
        "any file is read",
    ),
    _out(ISOLATION, "        _drop_privileges()\n", "", "root keeps its privileges"),
    _out(ISOLATION, "        _limit(isolation)\n", "        pass\n", "memory has no limit"),
    _out(ISOLATION, "    os.setuid(user.uid)\n", "", "it stays root"),
    _out(
        CALLS,
        "        (_IF_EQUAL, 1, 0, architecture),\n        refuse,\n",
        "",
        "calls by the numbers of i386",
    ),
    _out(
        CALLS,
        "        (_IF_AT_LEAST, 0, 1, X32_BIT),\n        refuse,\n",
        "",
        "calls by the numbers of x32",
    ),
    _out(
        CALLS,
        '    program += _on(CONDITIONAL["clone3"], place, [unknown])\n',
        "",
        "processes by clone3",
    ),
    _out(CALLS, "(_IF_BIT, 0, 1, _CLONE_THREAD)", "(_IF_BIT, 0, 0, _CLONE_THREAD)", "clone"),
    _out(CALLS, '        "kill": own,\n', '        "kill": own_or_zero,\n', "its group is killed"),
    _out(CALLS, '        "prlimit64": own_or_zero,\n', "", "limits of the agent are set"),
    _out(CALLS, '        "prctl": none_of(0, [PR_SET_PDEATHSIG]),\n', "", "it outlives the agent"),
    _out(FILES, "    fields = 1 + (found", "    fields = 1 + 0 * (found", "fewer fields"),
    _out(
        FILES,
        "            _kept_open.append(os.dup(descriptor))\n",
        "            pass\n",
        "the kernel forgets what may be read in /proc",
    ),
    _out(
        PLACES,
        "        if (number or path in chosen) and not _wide(path):",
        "        if True:",
        "all beside where the agent was started is read",
    ),
    _out(PLACES, "yield Rule(models, files.READ_FILE", "yield Rule(models, files.OWN", "models"),
    _out(ENVIRONMENT, " and not _SECRET.search(name)", "", "secrets reach a session"),
    _out(
        CONSUMPTION,
        "limit_bytes is not None and memory_bytes > limit_bytes",
        "False",
        "shared memory has no limit",
    ),
    _out(
        CONSUMPTION,
        "            opened = _opened(self._place)\n",
        "            opened: Sizes = {}\n",
        "files without a name have no limit",
    ),
    _out(CONSUMPTION, "if size_bytes > limit_bytes:", "if False:", "the disk has no limit"),
    Mutation(
        PROCESS,
        "        limit_files(settings.isolation)\n",
        "",
        "a file has no limit",
        _TESTS,
    ),
    Mutation(
        SESSION,
        "        self._store = self._store.left()\n",
        "",
        "a model reaches the store",
        _STORE,
    ),
    Mutation(SHELF, " and path.stat().st_nlink == 1", "", "what is read is removed", _STORE),
    Mutation(SHELF, "spared = {sha256, *self.in_use}", "spared = {sha256}", "in use", _STORE),
    Mutation(
        SHELF,
        "if not lacks_disk and self._beyond_bytes() + wanted_bytes <= 0:",
        "if not lacks_disk:",
        "the store has no limit",
        _STORE,
    ),
    Mutation(
        SHELF, "if path.stat().st_mtime < oldest_s:", "if False:", "nothing is too old", _STORE
    ),
    Mutation(
        KEEPER,
        "request.place and request.place not in self._places",
        "False",
        "a session chooses a place",
        _STORE,
    ),
    Mutation(SHELF, "        if not shared:\n", "        if True:\n", "one cuts another", _STORE),
    Mutation(KEEPER, "not _SHA256.fullmatch(sha256) or ", "", "a session chooses a name", _STORE),
    _out(
        CALLS,
        "[_load(4), (_IF_EQUAL, 1, 0, 0), refuse,",
        "[_load(4), (_IF_EQUAL, 1, 1, 0), refuse,",
        "messages go to any socket",
    ),
    _out(NUMBERS, '    "sendmsg": (46, 211),\n', "", "files are hidden in the queue of a socket"),
    _out(
        CALLS,
        "            *none_of(1, _REQUESTS_REFUSED)[1:],\n",
        "            allow,\n",
        "flags of any file are set",
    ),
    _out(CALLS, ", _F_SETLEASE, _F_NOTIFY]),", "]),", "leases hold up who writes"),
    _out(AGENT, " and getattr(part, declared.name) != declared.default", "", "all of /sys is read"),
    _out(
        PLACES,
        '    *("firmware/devicetree", "hypervisor"),\n',
        '    *("firmware", "kernel"),\n',
        "what the firmware keeps is read",
    ),
    _out(
        CONSUMPTION,
        "                opened |= mapped\n",
        "",
        "files that a mapping keeps are not counted",
    ),
    Mutation(
        TREES,
        "                if len(stack) == DEPTH_LIMIT:",
        "                if False:",
        "folders within folders without end",
        ("tests/core/system/test_trees.py", *_TESTS),
    ),
    Mutation(
        TREES,
        "            if top is not None:\n",
        "            if False:\n",
        "folders within folders stay",
        ("tests/core/system/test_trees.py",),
    ),
    Mutation(
        HANDSHAKE,
        "            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)\n",
        "            pass\n",
        "the agent waits for a reader that a model has chosen",
        ("tests/faults/test_attacks.py",),
    ),
    _out(
        "edge_tester/core/agent/turn.py",
        "os.O_RDONLY | os.O_CREAT",
        "os.O_RDWR | os.O_CREAT",
        "a model writes to what all sessions share",
    ),
    Mutation(
        "edge_tester/core/agent/supervisor.py",
        "            with contextlib.suppress(OSError):\n                peer.refuse(",
        "            if True:\n                peer.refuse(",
        "one who leaves in the wrong moment ends the agent",
        ("tests/faults/test_sessions_attacked.py",),
    ),
)
