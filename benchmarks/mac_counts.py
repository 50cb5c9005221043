"""Multiply-accumulates by edge_tester beside two other tools, for networks of torchvision.

Run: ``python -m benchmarks.mac_counts``. PyTorch's FlopCounterMode counts operations as they run,
torchinfo modules by hooks. The ONNX file of each network is counted as well. torchinfo counts
biases and normalizing layers too, which is why it is above, and no attention. The status is 1 if
FlopCounterMode or the ONNX file differ at all.
"""

import sys
import tempfile
from pathlib import Path

from edge_tester.core import registry
from edge_tester.core.analysis import analyze
from edge_tester.core.backends import backend

NETWORKS = (
    *("mobilenet_v2", "mobilenet_v3_small", "resnet18", "resnet50", "squeezenet1_1"),
    *("shufflenet_v2_x1_0", "efficientnet_b0", "densenet121", "vgg11", "vit_b_16"),
)


def counts_of(name: str, folder: Path) -> tuple[int, int, int, int]:
    """Return the counts of edge_tester, of FlopCounterMode, of the ONNX file and of torchinfo."""
    torch, info = backend("torch", "a benchmark"), backend("torchinfo", "a benchmark")
    counter = backend("torch.utils.flop_counter", "a benchmark").FlopCounterMode(display=False)
    wrapper = registry.load("modelwrappers", "torch_factory").from_options(
        {"factory": f"torchvision:{name}", "model_path": str(folder / f"{name}.pth")}
    )
    ours = analyze(wrapper.graph())
    assert not ours.unknown
    # Attention is counted where it is made of products of matrices, and not where it is one.
    attention = backend("torch.nn.attention", "a benchmark")
    torch.backends.mha.set_fastpath_enabled(False)
    with counter, torch.no_grad(), attention.sdpa_kernel(attention.SDPBackend.MATH):
        wrapper.network(torch.zeros(1, 3, 224, 224))
    wrapper.save_to_onnx(folder / "network.onnx")
    file = registry.load("modelwrappers", "onnx_file")(model_path=folder / "network.onnx")
    exported = analyze(file.graph())
    assert not exported.unknown
    told = info.summary(wrapper.network, (1, 3, 224, 224), verbose=0)
    return ours.macs, counter.get_total_flops() // 2, exported.macs, int(told.total_mult_adds)


def main() -> int:
    """Print a line for each network."""
    differ = 0
    print(f"{'network':<20}{'edge_tester':>16}{'FlopCounterMode':>17}{'ONNX':>16}{'torchinfo':>16}")
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            ours, counted, exported, info = counts_of(name, Path(folder))
            differ += ours != counted or ours != exported
            print(
                f"{name:<20}{ours:>16,}{counted:>17,}{exported:>16,}{info:>16,} "
                f"{100 * (info / ours - 1):+.2f} %",
                flush=True,
            )
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
