"""A model on a target, ready to be run."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from edge_tester.core.artifact import Artifact
from edge_tester.core.errors import (
    LocalProtocolError,
    OptionError,
    RemoteProtocolError,
    TargetError,
)
from edge_tester.core.options import options_of
from edge_tester.core.record import Machine
from edge_tester.core.registry import name_of
from edge_tester.core.run import heard
from edge_tester.core.run.capabilities import require_feature
from edge_tester.core.run.feed import Feed
from edge_tester.core.run.observer import Observer
from edge_tester.core.run.plan import Plan
from edge_tester.core.run.reservations import ticket_for
from edge_tester.core.runtimeprotocol import RuntimeProtocol
from edge_tester.core.tensors import TensorSpec
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.payloads import Hello, Welcome

# What a replicate that begins right after another need not say.
_TOLD_AFTER_S = 2.0
# Inputs that the target is asked to keep room for; it grants as many as it can.
_SLOTS = 1024
_AXES: dict[str, int | None] = {"0": 0, "1": 1, "none": None}


@dataclasses.dataclass
class Deployment:
    """A connected target that has loaded a model.

    Attributes
    ----------
    client : Client
    machine : Machine
        That of the target.
    runtime_options : dict
        What the runtime there really has.
    artifact : Artifact
        What was sent.
    batch_axis : int or None
    about_target : list of str
        Remarks on the target's version, and on what its owner has set otherwise.
    load_s : float
        How long it took until the model was loaded, without waiting in line [s].
    batched : bool
        Whether the first axis of the outputs is the batch.
    facts : dict
        Of the runtime.
    remarks : list of str
        What the target said that makes the figures doubtful.
    """

    client: Client
    machine: Machine
    runtime_options: dict[str, Any]
    artifact: Artifact
    batch_axis: int | None
    about_target: list[str]
    load_s: float = 0.0
    batched: bool = True
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    remarks: list[str] = dataclasses.field(default_factory=list)

    @property
    def inputs(self) -> list[TensorSpec]:
        """Inputs of the model as the runtime really has them."""
        return self.client.inputs

    @property
    def outputs(self) -> list[TensorSpec]:
        """Outputs of the model as the runtime really has them."""
        return self.client.outputs

    @property
    def stateful(self) -> bool:
        """Whether the model keeps a state: then it is never run twice for a sample."""
        return "state" in self.facts

    @property
    def in_process(self) -> bool:
        """Whether the target is this process."""
        return self.client.protocol.in_process

    def upload(self, batch_size: int, observer: Observer) -> None:
        """Send the model and have it loaded.

        Raises
        ------
        TargetError
            The target cannot; the message names the model.
        RemoteProtocolError
            What it says of the model cannot be, or nobody can record it.
        """
        artifact = self.artifact
        observer.begin("Uploading", artifact.size_bytes, "bytes")
        try:
            loaded = self.client.upload_model(
                artifact, batch_size, self.batch_axis, observer.advance, slots=_SLOTS
            )
        except TargetError as error:
            named = str(artifact.path) in str(error)
            if named and not self.about_target:
                raise
            # What the owner has set otherwise may be what is missing.
            text = " ".join(
                [str(error) if named else f"{artifact.path}: {error}", *self.about_target]
            )
            raise TargetError(error.code, text) from error
        self.facts = heard.plain("What the runtime uses", loaded.facts)
        self.remarks = [*heard.remarks_in(self.facts), *self.about_target]

    def require_same(self, first: Deployment) -> None:
        """See whether this is what an earlier deployment of the same plan was.

        Raises
        ------
        RemoteProtocolError
            Another machine answered, or the same one otherwise.
        """
        for what, mine, theirs in (
            ("machine", self.machine.hostname, first.machine.hostname),
            ("start of the machine", self.machine.boot_id, first.machine.boot_id),
            ("options of the runtime", self.runtime_options, first.runtime_options),
            ("inputs of the model", self.inputs, first.inputs),
            ("outputs of the model", self.outputs, first.outputs),
        ):
            if mine != theirs:
                raise RemoteProtocolError(
                    f"The target is not the same for every replicate: the {what} was {theirs}, and "
                    f"is {mine} now."
                )


class Company:
    """Clients of one host that have a model on one target at the same time.

    Parameters
    ----------
    most : int
        How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._clients: list[Client] = []

    @property
    def full(self) -> bool:
        """Whether nobody else can join: there are enough, or the target takes one at a time."""
        return len(self._clients) >= self._most or any(not one.ticket for one in self._clients)

    def connect(
        self,
        link: RuntimeProtocol,
        hello: Hello,
        tell: Callable[[str], None],
        answer_limit_s: float,
    ) -> Client:
        """Connect one more.

        Raises
        ------
        TargetError, ProtocolError
        """
        if self._clients:
            client = self._clients[-1].beside(hello, tell, answer_limit_s)
        else:
            client = Client(link)
            features = ["beside"] if self._most > 1 else []
            client.connect(msgspec.structs.replace(hello, features=features), tell, answer_limit_s)
        self._clients.append(client)
        return client

    def leave(self, client: Client) -> None:
        """End the session of one."""
        self._clients.remove(client)
        client.disconnect()


def hello_of(plan: Plan, *, wait: bool) -> Hello:
    """Return how this host introduces itself."""
    return Hello(
        client=f"edge_tester on {platform.node()}",
        runtime=name_of(type(plan.runtime)),
        runtime_options=plan.client_options(),
        wait=wait,
        reservation=ticket_for(plan.protocol.address) if plan.protocol else "",
    )


def _owners_remarks(plan: Plan, welcome: Welcome) -> list[str]:
    """Say which options were chosen that the target's owner has set otherwise."""
    name = type(plan.runtime).__name__
    flags = {declared.name: declared.flag for declared in options_of(type(plan.runtime))}
    return [
        f"{name}.{key} {value!r} was asked for and is not used: it belongs to the target's owner, "
        f"who has {welcome.runtime_options.get(key)!r}. To use it, start the agent there with "
        f"{flags[key]}, or use --start-agent here."
        for key, value in plan.owners_options().items()
        if welcome.runtime_options.get(key) != value
    ]


def require_target(plan: Plan, link: RuntimeProtocol | None = None) -> None:
    """See whether the target can be reached and gives the runtime, before anything takes long.

    Raises
    ------
    EdgeTesterError
    """
    client = Client(_linked(plan, link))
    measurement = plan.measurement
    try:
        welcome = client.connect(
            hello_of(plan, wait=False), answer_limit_s=measurement.answer_limit_s
        )
        heard.machine_of(welcome)
        require_feature(plan, welcome)
    except TargetError as error:
        # It is waited for when there is something to measure.
        if error.code != "busy" or not measurement.wait:
            raise
    finally:
        client.disconnect()


@contextlib.contextmanager
def deploy(
    plan: Plan,
    artifact: Artifact,
    observer: Observer,
    link: RuntimeProtocol | None = None,
    first: Deployment | None = None,
    company: Company | None = None,
) -> Iterator[Deployment]:
    """Connect to the target, and have it load a model.

    Parameters
    ----------
    plan : Plan
    artifact : Artifact
    observer : Observer
    link : RuntimeProtocol, optional
        To an agent that was started for this plan.
    first : Deployment, optional
        An earlier one of the same plan: this one must be equal to it.
    company : Company, optional
        Who else has a model on the target meanwhile.

    Raises
    ------
    TargetError, ProtocolError, OptionError
    """
    company, begun_s = company or Company(1), time.monotonic()
    with _told_late(observer.tell, first is not None) as tell:
        # A target that was just left takes a moment to be free again.
        hello = hello_of(plan, wait=plan.measurement.wait or first is not None)
        client = company.connect(_linked(plan, link), hello, tell, plan.measurement.answer_limit_s)
    try:
        welcome = client.welcome
        if welcome is None:
            raise LocalProtocolError("The client was not connected.")
        require_feature(plan, welcome)
        deployment = Deployment(
            client,
            heard.machine_of(welcome),
            heard.plain("The options of the runtime", welcome.runtime_options),
            artifact,
            first.batch_axis if first else _AXES.get(plan.model.batch_axis, 0),
            [*heard.version_remarks(welcome), *_owners_remarks(plan, welcome)],
        )
        deployment.upload(
            plan.dataset.inference_batch_size, observer if first is None else Observer()
        )
        if first is not None:
            deployment.batched = first.batched
            deployment.require_same(first)
            deployment.load_s = time.monotonic() - begun_s
        yield deployment
    finally:
        company.leave(client)


@contextlib.contextmanager
def _told_late(tell: Callable[[str], None], late: bool) -> Iterator[Callable[[str], None]]:
    """Give what tells at once, or only what still holds after a while."""
    timers: list[threading.Timer] = []

    def later(text: str) -> None:
        timers.append(threading.Timer(_TOLD_AFTER_S, tell, [text]))
        timers[-1].daemon = True
        timers[-1].start()

    try:
        yield later if late else tell
    finally:
        for timer in timers:
            timer.cancel()


def fed(plan: Plan, deployment: Deployment, observer: Observer) -> Feed:
    """Return the feed of a deployed model with the samples to measure.

    The first samples tell what no spec does, whether there is a batch axis.
    """
    model, dataset, size = plan.model, plan.dataset, plan.dataset.inference_batch_size
    indices = dataset.test_indices()
    dataset.bind(deployment.inputs)
    beginning = next(dataset.batches(indices[:size], size))
    pairs = list(zip(deployment.inputs, beginning.inputs, strict=False))
    single = bool(pairs) and all(one.ndim - 1 == len(spec.shape) for spec, one in pairs)
    fits = all(spec.accepts(one.shape[1:]) for spec, one in pairs)
    if model.batch_axis == "auto" and single and not fits:
        # What is open is not the batch, but the length of a sample.
        deployment.batch_axis = None
        deployment.upload(size, observer)
    deployment.batched = not single
    return Feed(
        model,
        dataset,
        deployment.inputs,
        deployment.outputs,
        indices,
        size=size,
        batch_axis=deployment.batch_axis,
        calibrated=deployment.artifact.facts.get("calibrated"),
        beginning=beginning,
    )


def _linked(plan: Plan, link: RuntimeProtocol | None) -> RuntimeProtocol:
    found = link or plan.protocol
    if found is None:
        raise OptionError("A plan without a runtime protocol needs an agent that was started.")
    found.runtime = plan.runtime
    return found
