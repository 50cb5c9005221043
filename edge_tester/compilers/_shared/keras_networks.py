"""Networks of Keras as converters take them."""

from __future__ import annotations

from typing import Any, NamedTuple

from edge_tester.core.backends import backend
from edge_tester.core.model import ModelWrapper

_HALF = {"mixed_float16", "mixed_bfloat16", "float16", "bfloat16"}
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
# Above this, a file with all steps becomes large and takes long to make.
MOST_STEPS = 128
LOOPS = "loops, for which the batch size is fixed at 1"


class Prepared(NamedTuple):
    """A network that a converter takes, and what was done to it.

    Attributes
    ----------
    network : keras.Model
    facts : dict of str to str
    """

    network: Any
    facts: dict[str, str]


def keras_network(model: ModelWrapper, needed_by: object) -> Any:
    """Return the network of a loaded wrapper, or of its file where the wrapper keeps none."""
    network = getattr(model, "network", None)
    if network is not None:
        return network
    models: Any = backend("tensorflow", needed_by).keras.models
    return models.load_model(model.model_path, compile=False)


def prepared(model: ModelWrapper, needed_by: object) -> Prepared:
    """Return an equal network of operations that converters know.

    TensorFlow's converter has no convolutions and products of half precision, which is for
    training, and neither it nor Core ML's takes the loops of recurrent layers.
    """
    network = keras_network(model, needed_by)
    layers = list(network._flatten_layers())
    half = any(str(layer.compute_dtype) in _HALF for layer in layers)
    loops = any(
        _is_loop(type(layer).__name__, layer.get_config())
        for layer in layers
        if type(layer).__name__ in _RECURRENT
    )
    lengths = [tensor.shape[1] for tensor in network.inputs if len(tensor.shape) > 1]
    unroll = loops and all(length and length <= MOST_STEPS for length in lengths)
    facts = {}
    if half:
        facts["computes in"] = "float32, where the Keras model mixes it with half precision"
    if unroll:
        facts["recurrent layers"] = "unrolled"
    if half or unroll:
        made = type(network).from_config(_changed(network.get_config(), half, unroll))
        made.set_weights(network.get_weights())
        network = made
    if loops and not unroll:
        facts["recurrent layers"] = LOOPS
        network = _of_one_sample(network, needed_by)
    return Prepared(network, facts)


def _of_one_sample(network: Any, needed_by: object) -> Any:
    keras: Any = backend("tensorflow", needed_by).keras
    inputs = [
        keras.Input(batch_shape=(1, *tensor.shape[1:]), dtype=tensor.dtype, name=tensor.name)
        for tensor in network.inputs
    ]
    return keras.Model(inputs, network(inputs if len(inputs) > 1 else inputs[0]))


def _changed(value: Any, half: bool, unroll: bool) -> Any:
    """Return a configuration with types of half precision as float32, and loops unrolled."""
    if isinstance(value, list | tuple):
        return type(value)(_changed(one, half, unroll) for one in value)
    if not isinstance(value, dict):
        return value
    made = {key: _changed(one, half, unroll) for key, one in value.items()}
    for key in ("dtype", "name"):
        if half and isinstance(made.get(key), str) and _is_policy(made, key):
            made[key] = "float32"
    if (
        unroll
        and made.get("class_name") in _RECURRENT
        and _is_loop(made["class_name"], made["config"])
    ):
        made["config"]["unroll"] = True
    return made


def _is_policy(owner: dict[str, Any], key: str) -> bool:
    # The configuration of a policy has a name and nothing else of a layer.
    return owner[key] in _HALF and (key == "dtype" or set(owner) <= {"name", "source_name"})


def _is_loop(kind: str, config: dict[str, Any]) -> bool:
    return kind in _RECURRENT and not config.get("unroll", False)
