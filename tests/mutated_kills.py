"""Changes of what is left when processes are killed, each of which must make its tests fail."""

from tests.mutated import Mutation

AGENT, SYSTEM = "edge_tester/core/agent", "edge_tester/core/system"
TLS = ("tests/core/agent/test_tls.py",)
TEMPORARY = ("tests/core/system/test_temporary.py",)
PROCESSES = ("tests/core/system/test_processes.py",)
ATTACKED = ("tests/faults/test_sessions_attacked.py",)

KILLED = (
    Mutation(
        f"{AGENT}/reception.py",
        "            self._ended = True\n",
        "            self._ended = False\n",
        "an agent is deaf when the process that starts what ends TLS was killed",
        TLS,
    ),
    Mutation(
        f"{AGENT}/supervisor.py",
        "Adopted(scratch.path, own)",
        "Adopted(scratch.path)",
        "the one that is started then is taken for something that a model has left",
        TLS,
    ),
    Mutation(
        f"{AGENT}/greeter.py",
        "        # The supervisor is gone, and with it whoever could use this one or another.\n"
        "        return 0\n",
        "        return 1\n",
        "it outlives an agent that was killed while it started, and holds the port",
        TLS,
    ),
    Mutation(
        f"{AGENT}/greeter.py",
        "        with contextlib.suppress(ProcessLookupError):\n            if worker:",
        "        with contextlib.suppress(KeyError):\n            if worker:",
        "it ends with a traceback where its worker ended a moment before",
        TLS,
    ),
    Mutation(
        f"{AGENT}/supervisor.py",
        "        if not known and self._failures < _ATTEMPTS:\n",
        "        if False:\n",
        "an agent gives up whose first session process was killed",
        ATTACKED,
    ),
    Mutation(
        f"{AGENT}/supervisor.py",
        "        if not known and self._failures < _ATTEMPTS:\n",
        "        if not known:\n",
        "an agent whose session processes cannot start tries it for ever",
        ATTACKED,
    ),
    Mutation(
        "edge_tester/core/making/isolation.py",
        "    end_with_parent(int(sys.argv[1]))\n",
        "",
        "what compiles goes on when whoever wanted it was killed",
        PROCESSES,
    ),
    Mutation(
        f"{SYSTEM}/processes.py",
        "        if os.getppid() != parent:\n            # It was",
        "        if False:\n            # It was",
        "a child lives for ever whose parent was killed before the kernel was asked",
        PROCESSES,
    ),
    Mutation(
        f"{SYSTEM}/temporary.py",
        '(f"{_PREFIX}*/"):\n        with contextlib.suppress(OSError), locked(path):',
        '(f"{_PREFIX}*/"):\n        with contextlib.suppress(OSError):',
        "the folder of a process that lives is removed",
        TEMPORARY,
    ),
    Mutation(
        f"{SYSTEM}/temporary.py",
        "    sweep_new(base)\n    for path",
        "    sweep_new(base)\n    for path in ():  # ",
        "folders of killed processes stay",
        TEMPORARY,
    ),
    Mutation(
        f"{SYSTEM}/temporary.py",
        "            with locked(path):\n",
        "            if True:\n",
        "what another process is just making is removed",
        TEMPORARY,
    ),
    Mutation(
        f"{SYSTEM}/temporary.py",
        "        if time.time() - path.lstat().st_mtime > _UNLOCKED_LIMIT_S:\n",
        "        if True:\n",
        "what another process has not locked yet is removed",
        TEMPORARY,
    ),
    Mutation(
        f"{SYSTEM}/files.py",
        '    flag = getattr(os, "O_TMPFILE", None)\n',
        "    flag = None\n",
        "a process that is killed while it writes a record leaves half of it",
        TEMPORARY,
    ),
    Mutation(
        f"{AGENT}/descendants.py",
        "            for _ in range(_REAPED_AT_ONCE):\n",
        "            while True:\n",
        "children that end without end keep an agent from ending what makes them",
        ("tests/core/agent/test_descendants.py",),
    ),
    Mutation(
        f"{AGENT}/descendants.py",
        "            reap(found)\n        return found\n",
        "            return reap(found)\n        return found\n",
        "what forks right before it is killed lives on, and keeps the turn from other sessions",
        ("tests/core/agent/test_descendants.py",),
    ),
    Mutation(
        "edge_tester/core/wire/greeting.py",
        "        if not conversation.protocol.several or",
        "        if True or",
        "a client fails that was accepted by a process which was just ending",
        ("tests/runtimeprotocols/test_network.py",),
    ),
    Mutation(
        "edge_tester/core/run/journal.py",
        "    if _is_written(found, record):\n",
        "    if False:\n",
        "what a run has measured that was killed after its record was written counts twice",
        ("tests/core/run/test_journal.py",),
    ),
    Mutation(
        f"{SYSTEM}/doctor.py",
        "            preexec_fn=ended_with_this(),\n",
        "",
        "packages are still imported to see whether they can be, when nobody wants to know it",
        PROCESSES,
    ),
    Mutation(
        f"{AGENT}/greeter.py",
        "                self._control.send(_REFUSED + ",
        "                bytes(_REFUSED + ",
        "nobody is told why TLS turned a client away",
        TLS,
    ),
)
