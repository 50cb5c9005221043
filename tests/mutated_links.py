"""Changes of links and of what is brought to boards, each of which must make a test fail."""

from tests.mutated import Mutation

ADDRESSES = "edge_tester/core/addresses.py"
SSH = "edge_tester/runtimeprotocols/ssh.py"
STARTING = "edge_tester/core/deploying/starting.py"
INSTALLING = "edge_tester/core/deploying/installing.py"
ON_ADDRESSES = ("tests/core/test_addresses.py", "tests/scenarios/test_target.py")
ON_SSH = ("tests/runtimeprotocols/test_ssh.py",)
ON_INSTALLING = ("tests/core/deploying/test_installing.py",)

LINKS = (
    Mutation(
        "edge_tester/runtimeprotocols/_ssh.py",
        "if self._child is None or self._child.process.poll() is not None:",
        "if self._child is None:",
        "what carried the link is not started anew",
        (f"{ON_SSH[0]}::test_a_run_goes_on_when_its_connection_is_made_anew",),
    ),
    Mutation(
        "edge_tester/runtimeprotocols/_ssh.py",
        "            return bool(probe.recv(1))",
        "            return True",
        "a server that forwards nothing is taken for one that does",
        (f"{ON_SSH[0]}::test_a_run_by_one_word",),
    ),
    Mutation(
        ADDRESSES,
        "        if cls.scheme == scheme:",
        '        if cls.scheme in (scheme, ""):',
        "an unknown scheme is a host",
        ON_ADDRESSES,
    ),
    Mutation(
        SSH,
        "    owned = True\n",
        "",
        "what belongs to the owner cannot be set where the link starts the agent",
        ON_ADDRESSES,
    ),
    Mutation(
        SSH,
        'if not self.host or self.host.startswith("-") or',
        "if not self.host or",
        "a host may be an option of ssh",
        ("tests/runtimeprotocols/test_ssh_words.py",),
    ),
    Mutation(
        STARTING,
        '(cat <&3; kill "$agent")',
        "(cat <&3)",
        "an agent goes on without its host",
        ON_SSH,
    ),
    Mutation(
        STARTING,
        "# The same for an agent",
        "START = START.replace(' && [ -f whole ]', '')\n# The same for an agent",
        "half an environment is started",
        ON_INSTALLING,
    ),
    Mutation(
        STARTING,
        "# The same for an agent",
        "START = START.replace('unset PYTHONPATH PYTHONHOME; ', '')\n# The same for an agent",
        "what the user has lying about is the package",
        ON_INSTALLING,
    ),
    Mutation(
        INSTALLING,
        '    bin/python -c "import $one" || exit\n',
        "    true\n",
        "packages that cannot be imported are an environment",
        ON_INSTALLING,
    ),
    Mutation(
        INSTALLING,
        "(cat <&3; kill -TERM 0)",
        "(cat <&3)",
        "an installation goes on without its host",
        ON_SSH,
    ),
    Mutation(
        INSTALLING,
        "trap 'cd /; rm -rf \"$part\"' EXIT",
        "true",
        "what was made in vain stays",
        ON_INSTALLING,
    ),
    Mutation(
        "edge_tester/core/deploying/probing.py",
        "LEAST_PYTHON = (3, 10)",
        "LEAST_PYTHON = (3, 6)",
        "a Python that is too old is taken",
        ON_INSTALLING,
    ),
    Mutation(
        "edge_tester/core/deploying/probing.py",
        "        if self.python.bits == 64:\n",
        "        if self.python.bits:\n",
        "wheels are for the kernel, not for the programs",
        ON_INSTALLING,
    ),
    Mutation(
        "edge_tester/core/deploying/wheel.py",
        "        total.update(content)\n",
        "",
        "another package has the same environment",
        ("tests/core/deploying/test_wheel.py",),
    ),
    Mutation(
        "edge_tester/core/system/throttling.py",
        '    3: "soft',
        '    4: "soft',
        "a flag of the firmware is another one",
        ("tests/core/system/test_throttling.py",),
    ),
    Mutation(
        "edge_tester/runtimeprotocols/adb.py",
        '            self._adb("forward", "--remove", forwarded)',
        "            pass",
        "a port is forwarded for ever",
        ("tests/runtimeprotocols/test_adb.py",),
    ),
)
