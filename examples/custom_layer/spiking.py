"""A spiking network for the digits, whose layer is a custom operator or ordinary operations.

``python spiking.py`` trains it again and writes ``weights.pth``.
"""

import torch

STEPS, DECAY, THRESHOLD = 20, 0.9, 1.0
HIDDEN, CLASSES = 48, 10


def lif_by_steps(current: torch.Tensor, spike=lambda over: (over > 0).to(over.dtype)):
    """Return how often each neuron fires while a constant current flows in.

    Leaky integrate-and-fire, reset by subtraction. Source: Neftci, Mostafa, Zenke, "Surrogate
    gradient learning in spiking neural networks", IEEE Signal Processing Magazine 36(6), 2019,
    equations 5 to 7, without the synapse's own decay; it is what snnTorch's ``Leaky`` computes.
    """
    potential = torch.zeros_like(current)
    fired = torch.zeros_like(current)
    count = torch.zeros_like(current)
    for _ in range(STEPS):
        potential = DECAY * potential + current - THRESHOLD * fired
        fired = spike(potential - THRESHOLD)
        count = count + fired
    return count


@torch.library.custom_op("edge_example::lif", mutates_args=())
def lif(current: torch.Tensor) -> torch.Tensor:
    """Do the same as one operation, of which no converter knows anything."""
    return lif_by_steps(current)


@lif.register_fake
def _(current: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(current)


class OpaqueLIF(torch.nn.Module):
    """The layer as the custom operator."""

    def forward(self, current):
        """Return how often each neuron fires."""
        return torch.ops.edge_example.lif(current)


class LIF(torch.nn.Module):
    """The layer as ordinary operations."""

    def __init__(self, **options):
        """Take what ``lif_by_steps`` takes."""
        super().__init__()
        self.options = options

    def forward(self, current):
        """Return how often each neuron fires."""
        return lif_by_steps(current, **self.options)


class Network(torch.nn.Module):
    """Currents from an image, spikes from the currents, scores from how often they fire."""

    def __init__(self, layer):
        """Take the layer between the two others, which have weights."""
        super().__init__()
        self.layer = layer
        self.into = torch.nn.Linear(64, HIDDEN)
        self.out = torch.nn.Linear(HIDDEN, CLASSES)

    def forward(self, images):
        """Return scores."""
        return self.out(self.layer(self.into(images.flatten(1))) / STEPS)


def opaque():
    """Return the network whose layer is the custom operator."""
    return Network(OpaqueLIF())


def decomposed():
    """Return the network whose layer is ordinary operations."""
    return Network(LIF())


def surrogate(over):
    """Fire as always, but have the derivative of a fast sigmoid (Zenke and Ganguli, 2018)."""
    soft = over / (1 + 10 * over.abs())
    return (over > 0).to(over.dtype) + soft - soft.detach()


def train():
    """Train on the first 1,200 digits, and write the weights."""
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)[:1200]
    classes = torch.tensor(digits.target)[:1200]
    network = Network(LIF(spike=surrogate))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(40):
        for batch in torch.randperm(len(images)).split(64):
            loss = torch.nn.functional.cross_entropy(network(images[batch]), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save(network.state_dict(), "weights.pth")


if __name__ == "__main__":
    train()
