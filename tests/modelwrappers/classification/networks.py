"""A user's own network, for wrappers that take a function by name; and help for large ones."""

import contextlib


@contextlib.contextmanager
def eager_functions():
    """Run functions of TensorFlow step by step."""
    import tensorflow

    tensorflow.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tensorflow.config.run_functions_eagerly(False)


def small_network(classes=3, channels=4):
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, channels, 3, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, classes),
    )


NOT_A_FUNCTION = 3
