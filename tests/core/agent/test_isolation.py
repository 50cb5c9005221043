"""What a model tries to do to the target and cannot; each time the next client is served."""

import errno
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_tester.core.agent import isolation_places
from edge_tester.core.artifact import Artifact
from edge_tester.core.wire.payloads import Hello
from edge_tester.runtimeprotocols.network import NetworkProtocol
from edge_tester.scenarios.agent import asked
from tests.agents import SERVER, SampleClient, children_of, echo_model
from tests.hostile import (
    EACCES,
    ENOSYS,
    EPERM,
    attempt,
    ended,
    hostile,
    needs_isolation,
    text,
)

SECRET = "EDGE_TESTER_TOKEN_FILE"

pytestmark = needs_isolation


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Files that a model must not reach: a secret, and what could be anybody's."""
    with tempfile.TemporaryDirectory(prefix="edge_tester-private-", dir="/tmp") as folder:
        (Path(folder) / "key").write_text("secret")
        yield Path(folder)


@pytest.fixture(scope="module")
def served(tmp_path_factory, native_model):
    folder = tmp_path_factory.mktemp("isolated")
    os.environ[SECRET] = "/secret"
    try:
        with hostile(folder, native_model) as (agent, client):
            yield agent, client
            # Whatever it tried: the client is still served, and so is the next one.
            assert 0 == attempt(client, "list", os.path.dirname(str(Path(os.__file__))))
            client.disconnect()
            following = agent.wait(20)
            following.upload_model(native_model)
            assert 0 == attempt(following, "read", "/proc/self/statm")
            following.disconnect()
    finally:
        del os.environ[SECRET]


REFUSED_ATTEMPTS = {
    ("read", "/etc/hostname"): EACCES,
    ("read", "/etc/passwd"): EACCES,
    ("read", "/proc/1/cmdline"): EACCES,
    ("list", "/"): EACCES,
    ("list", "/root"): EACCES,
    ("list", "/home"): EACCES,
    ("list", "/tmp"): EACCES,
    ("list", "/proc"): EACCES,
    ("list", "/dev/shm"): EACCES,
    ("create", "/dev/shm/of-a-model"): EACCES,
    ("write", "/dev/kmsg"): EACCES,
    ("read", "/dev/tty1"): EACCES,
    ("write", "/proc/self/oom_score_adj"): EACCES,
    ("list", "/sys/kernel/debug"): EACCES,
    ("list", "/sys/kernel/tracing"): EACCES,
    ("list", "/sys/firmware"): EACCES,
    ("write", "/proc/sys/kernel/core_pattern"): EACCES,
    ("environ of parent", ""): EACCES,
    ("cmdline of parent", ""): EACCES,
    ("memory of parent", ""): EACCES,
    **{
        (what, ""): EPERM
        for what in (
            *("kill parent", "kill all", "tkill parent", "tgkill parent", "queue to parent"),
            *("limit parent", "renice parent", "idle parent", "outlive parent", "trace parent"),
            *("own a descriptor", "look into parent", "handle of parent"),
            *("tcp", "udp", "unix", "netlink", "fork", "clone", "fork of i386", "fork of x32"),
            *("exec", "mount", "namespace", "root", "bpf", "keys", "io_uring", "userfaultfd"),
            *(
                "perf",
                "memfd",
                "shared memory",
                "reboot",
                "semaphores of others",
                "messages of others",
            ),
        )
    },
    ("descriptor in a socket", ""): EPERM,
    # What all sessions share, such as the lock of the turn.
    ("open for writing", ""): errno.EBADF,
    ("flags", os.__file__): EPERM,
    ("lease", os.__file__): EPERM,
    # The C library takes these for what an older kernel answers.
    ("clone3", ""): ENOSYS,
    ("unknown call", ""): ENOSYS,
}


@pytest.mark.parametrize(("what", "argument"), REFUSED_ATTEMPTS)
def test_a_model_of_native_code_cannot(served, what, argument):
    assert REFUSED_ATTEMPTS[what, argument] == attempt(served[1], what, argument)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("read", EACCES),
        ("write", EACCES),
        ("truncate", EACCES),
        ("unlink", EACCES),
        ("rename", EACCES),
        ("link", errno.EXDEV),
        ("chmod", EPERM),
        ("utime", EPERM),
    ],
)
def test_a_model_cannot_touch_a_file_of_the_agent_s_user(served, places, what, expected):
    key = places / "key"
    before = key.stat()
    assert expected == attempt(served[1], what, key)
    assert before == key.stat()
    assert "secret" == key.read_text()


def test_a_model_reaches_no_socket_by_its_path(served, places):
    """Neither by a connection, nor by one end of a pair, whose messages may have addresses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(str(places / "datagrams"))
        assert EPERM == attempt(served[1], "datagram", places / "datagrams")
        receiving.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiving.recv(3)


def test_what_nobody_chose_names_nothing_for_models(served):
    """Meters have a folder by default, /sys, of which a session needs less."""
    (pid, *_) = children_of(served[0].process.pid)
    settings = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2]
    assert [] == msgspec.json.decode(settings)["isolation"]["named"]
    assert 0 == attempt(served[1], "list", "/sys/class")


def test_a_module_that_is_built_in_has_no_place():
    assert [] == list(isolation_places._modules(["sys", "no_module_of_this_name"]))


def test_a_model_writes_to_its_own_folder_and_to_no_other(served, places):
    agent, client = served
    pid = children_of(agent.process.pid)[0]
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    own = next(w[7:].decode() for w in environment if w.startswith(b"TMPDIR="))
    assert 0 == attempt(client, "create", f"{own}/file")
    assert 0 == attempt(client, "unlink", f"{own}/file")
    for place in (Path(own).parent, Path(own).parents[1], Path(own).parent / "models", places):
        assert EACCES == attempt(client, "create", place / "file")
    assert 0 == attempt(client, "pair of sockets")


def test_a_runtime_of_the_owner_s_own_is_found_where_the_agent_is_started(tmp_path):
    """With what lies beside it; and without that, nothing there is read."""
    (tmp_path / "mine.py").write_text(
        "from edge_tester.runtimes.echo import EchoRuntime\n"
        "class MyRuntime(EchoRuntime):\n"
        "    def prepare(self):\n"
        "        import beside\n"
    )
    (tmp_path / "beside.py").touch()
    host = str(tmp_path / "agent")
    command = [*SERVER, "network", "mine.MyRuntime", "--host", host]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        assert b"MyRuntime" in process.stdout.readline()
        client = SampleClient(NetworkProtocol(host=host))
        client.connect(Hello(client="a test"))
        client.upload_model(echo_model(tmp_path))
        client.disconnect()
    finally:
        process.terminate()
        assert 0 == process.wait(30)
        process.stdout.close()


def test_homes_and_common_folders_are_no_place_to_be_read_as_a_whole():
    home = os.path.expanduser("~")
    for path in ("/", "/home", "/tmp", "/etc", home, os.path.dirname(home)):
        assert isolation_places._wide(path)
    for path in (f"{home}/project", "/opt/project", "/tmp/project", "/usr/lib"):
        assert not isolation_places._wide(path)


def test_no_model_reaches_what_others_brought(tmp_path, native_model):
    store = tmp_path / "store"
    with hostile(tmp_path, native_model, "--store-directory", str(store)) as (agent, client):
        (kept,) = store.iterdir()
        assert native_model.sha256 == kept.name
        for what in ("read", "write", "truncate", "unlink", "rename"):
            assert EACCES == attempt(client, what, kept)
        assert EACCES == attempt(client, "list", store)
        (pid, *_) = children_of(agent.process.pid)
        folder = Path(f"/proc/{pid}/environ").read_bytes().split(b"TMPDIR=")[1].split(b"\0")[0]
        models = Path(os.fsdecode(folder)).parent / "models"
        # It has one name more, for reading.
        assert 0 == attempt(client, "read", models / kept.name)
        for what in ("write", "truncate", "unlink", "rename"):
            assert EACCES == attempt(client, what, models / kept.name)
        assert errno.EXDEV == attempt(client, "link", models / kept.name)
        assert Artifact.from_file(native_model.path).sha256 == native_model.sha256
        client.disconnect()
        client = agent.wait(20)
        told = []
        client.upload_model(native_model, progress=told.append)
        client.disconnect()
        assert [native_model.size_bytes] == told[:1]


def test_no_secret_of_the_agent_is_in_a_session(served):
    (pid, *_) = children_of(served[0].process.pid)
    names = {w.partition(b"=")[0] for w in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}
    assert SECRET.encode() not in names
    assert {b"PATH", b"TMPDIR", b"HOME"} <= names


def test_a_session_has_no_privilege_left(served):
    (pid, *_) = children_of(served[0].process.pid)
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    (effective,) = re.findall(r"CapEff:\t(\w+)", status)
    # At most to read what another user of this machine has installed.
    assert int(effective, 16) & ~4 == 0
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size +[01] +1 ", limits)
    assert int(re.search(r"Max open files +\d+ +(\d+)", limits)[1]) <= 4096


def test_all_threads_of_a_session_are_isolated(served):
    (pid, *_) = children_of(served[0].process.pid)
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    # The one that listens to the agent, at least.
    assert len(tasks) >= 2
    for task in tasks:
        assert "Seccomp:\t2" in (task / "status").read_text()


def test_files_lets_a_runtime_start_programs_and_protects_files(tmp_path, native_model, places):
    with hostile(tmp_path, native_model, "--isolation", "files") as (agent, client):
        assert 0 == attempt(client, "fork")
        assert EACCES == attempt(client, "read", places / "key")
        assert EACCES == attempt(client, "read", "/etc/hostname")
        assert EACCES == attempt(client, "environ of parent")
        assert EPERM == attempt(client, "kill parent")
        assert "with --isolation files on this system a model can start programs" in agent.log


def test_none_is_said_and_is_none(tmp_path, native_model, places):
    with hostile(tmp_path, native_model, "--isolation", "none") as (agent, client):
        for what, argument in (("read", places / "key"), ("tcp", ""), ("fork", "")):
            assert 0 == attempt(client, what, argument)
        gap = "do whatever the agent's user may"
        assert 1 == agent.log.count(f"with --isolation none on this system a model can {gap}")
        assert [gap] == asked(NetworkProtocol(host=agent.host), "status").unprotected


def test_what_the_owner_names_can_be_read(tmp_path, native_model, places):
    words = ("--allow-paths", str(places / "key"))
    with hostile(tmp_path, native_model, *words) as (agent, client):
        assert 0 == attempt(client, "read", places / "key")
        assert EACCES == attempt(client, "write", places / "key")
        assert EACCES == attempt(client, "list", places)
        assert "WARNING" not in agent.log


@pytest.fixture(scope="module")
def for_all():
    """An installation that everybody can read, with the Python of the system."""
    python = Path(f"/usr/bin/python3.{sys.version_info[1]}")
    if os.geteuid() != 0 or not python.exists():
        pytest.skip(f"needs root and {python}")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = installed_for_all(folder / "packages")
        yield folder, path, (str(python), "-m", "edge_tester.scenarios.inference_server")


def test_sessions_of_another_user(for_all, native_model):
    folder, path, program = for_all
    own = {"program": program, "path": path}
    words = ("--run-as", "nobody", "--isolation", "none")
    with hostile(folder, native_model, *words, **own) as (agent, client):
        (pid, *_) = children_of(agent.process.pid)
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
        assert EACCES == attempt(client, "list", "/root")
        assert EPERM == attempt(client, "kill parent")
        assert EPERM == attempt(client, "regain")
        # It still begins the peak of its own memory anew.
        assert client.run_sample([text("tcp"), text("")]).counters.inference_peak_bytes
    with hostile(folder, native_model, "--run-as", "nobody", **own) as (agent, client):
        assert EPERM == attempt(client, "fork")
        assert EACCES == attempt(client, "read", "/etc/hostname")


def test_an_agent_of_a_plain_user(for_all, native_model):
    """It isolates its sessions as well as root's does, and sees their memory."""
    folder, path, program = for_all
    place = folder / "of-a-user"
    place.mkdir()
    os.chown(place, 65534, 65534)
    become = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with hostile(place, native_model, program=become + program, path=path) as (agent, client):
        for what in ("fork", "tcp", "kill parent", "limit parent", "idle parent"):
            assert EPERM == attempt(client, what)
        for what, argument in (
            ("read", "/etc/hostname"),
            ("environ of parent", ""),
            ("write", place / "log"),
            ("create", place / "file"),
        ):
            assert EACCES == attempt(client, what, argument)
        assert client.run_sample([text("tcp"), text("")]).counters.inference_peak_bytes
        assert "WARNING" not in agent.log
    words = ("--scratch-limit", "64MB")
    with hostile(place, native_model, *words, program=become + program, path=path) as (_, client):
        # How large such a file is, the kernel does not show to a plain user.
        assert "keeps kept\ufffd[2J\ufffd-0, which it has removed, by a mapping" in ended(
            client, "keep by mappings", 1
        )
    with hostile(place, native_model, *words, program=become + program, path=path) as (_, client):
        said = "The session made a folder into which nobody may look."
        assert said in ended(client, "close a folder")


def installed_for_all(packages: Path) -> str:
    """Copy what an agent needs to where everybody can read it."""
    import msgspec

    import edge_tester

    project = Path(edge_tester.__file__).parents[1]
    sources = [project / "edge_tester", project / "tests", Path(msgspec.__file__).parent]
    sources += [Path(np.__file__).parent, Path(np.__file__).parents[1] / "numpy.libs"]
    packages.mkdir()
    for source in sources:
        subprocess.run(["cp", "-rL", source, packages], check=True)
    subprocess.run(["chmod", "-R", "a+rX", packages.parent], check=True)
    return str(packages)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--run-as", "nobody-of-this-name"), "--run-as: this machine has no user"),
        (("--run-as", "root"), "name one with fewer rights"),
        (("--memory-limit", "much"), "--memory-limit must be a size"),
        (("--store-limit", "-1"), "--store-limit"),
        (("--isolation", "some"), "--isolation"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(words, said):
    if os.geteuid() != 0 and words[0] == "--run-as":
        pytest.skip("only root may become somebody else")
    command = [sys.executable, "-m", "edge_tester", "server", "network", "echo", "--port", "0"]
    run = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    assert 2 == run.returncode
    assert said in run.stderr and "Traceback" not in run.stderr


def test_another_user_must_be_able_to_read_what_is_needed(tmp_path):
    if os.geteuid() != 0 or os.stat("/root").st_mode & 0o005 or not sys.prefix.startswith("/"):
        pytest.skip("needs root, whose home is closed")
    command = [sys.executable, "-m", "edge_tester", "server", "network", "echo", "--port", "0"]
    words = ("--run-as", "nobody")
    run = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60)
    assert 2 == run.returncode
    assert "--run-as nobody: this user cannot read" in run.stderr
