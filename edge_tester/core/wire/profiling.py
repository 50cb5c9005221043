"""The host's side of PROFILE: time per operator, where the target's runtime can tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_tester.core.errors import LocalProtocolError
from edge_tester.core.results.profile import Profile
from edge_tester.core.wire import frames, payloads
from edge_tester.core.wire.client import Client
from edge_tester.core.wire.frames import Type

if TYPE_CHECKING:
    from edge_tester.core.tensors import Array

FEATURE = "profile"


def profiled(client: Client, tensors: Sequence[Array], count: int) -> Profile:
    """Have a model that was uploaded run in the profiler of its runtime.

    Parameters
    ----------
    client : Client
        Of a session whose inferences nobody times.
    tensors : sequence of ndarray
        Of one inference, in the model's own dtypes.
    count : int
        From how many inferences the times are to be computed.

    Raises
    ------
    LocalProtocolError
        The target does not offer it.
    TargetError, RemoteProtocolError, UnreachableError
    """
    from edge_tester.core.tensors import TensorCodec

    if client.welcome is None or FEATURE not in client.welcome.features:
        raise LocalProtocolError(
            f"The target {client.protocol.address} does not tell the time per operator: its agent "
            "or its runtime cannot."
        )
    conversation = client.conversation
    shapes, pieces = TensorCodec(client.inputs).pack(tensors)
    head = payloads.TENSORS.pack(0, len(shapes)) + shapes
    conversation.answer(conversation.request(Type.DATA, [head, *pieces]), 0)
    sequence = conversation.request(Type.PROFILE, [payloads.PROFILE.pack(0, count)])
    answer = conversation.answer(sequence, frames.PROFILE_LIMIT_BYTES)
    return payloads.decode(answer.payload, Profile)
