"""Changes of what says what a model takes, and whether it fits."""

from tests.mutated import Mutation

MACS = "edge_tester/core/analysis/macs.py"
LIVENESS = "edge_tester/core/analysis/liveness.py"
ANALYSIS = "edge_tester/core/analysis/analysis.py"
MATCHING = "edge_tester/core/analysis/matching.py"
FITTING = "edge_tester/core/analysis/fitting.py"
MICRO = "edge_tester/core/analysis/micro.py"
TFLITE_GRAPH = "edge_tester/modelwrappers/frameworks/tflite_graph.py"

MUTATIONS = (
    Mutation(
        LIVENESS,
        "        return max(self.live_bytes(), default=",
        "        return max([self.sum_bytes], default=",
        "the sum of all activations is called their peak",
    ),
    Mutation(
        MACS,
        "    return outputs * taps * (work.input_channels // work.groups)",
        "    return outputs * taps * work.input_channels",
        "groups of a convolution are ignored",
    ),
    Mutation(
        MACS,
        "        return None\n    if isinstance(work, Free)",
        "        return 0\n    if isinstance(work, Free)",
        "unknown work counts as none",
    ),
    Mutation(
        FITTING,
        "        if self.high <= self.available:",
        "        if self.low <= self.available:",
        "what fits only at best is said to fit",
    ),
    Mutation(
        FITTING,
        '"does not fit" if self.low > self.available else "undecided"',
        '"does not fit" if self.high > self.available else "undecided"',
        "what may fit is said not to",
    ),
    Mutation(
        FITTING,
        '        if self.lacking or "does not fit" in found:',
        '        if "does not fit" in found:',
        "an operator that the runtime lacks is no reason",
    ),
    Mutation(
        LIVENESS,
        "graph.tensors[name].size_bytes == size and shared.last_of(name) == place",
        "graph.tensors[name].size_bytes == size",
        "an operator writes over what is still needed",
    ),
    Mutation(
        LIVENESS,
        "    return len(read) == 1 and source",
        "    return source",
        "what another operator reads is never stored",
    ),
    Mutation(
        MICRO,
        '    if operator.kind == "TRANSPOSE_CONV":\n        return result * width',
        '    if operator.kind == "TRANSPOSE_CONV":\n        return 0',
        "the scratch memory of kernels takes none",
    ),
    Mutation(
        MATCHING,
        "told[timed.name] > 1 or ",
        "",
        "the time of one of several of a name is taken for the layer's",
    ),
    Mutation(
        TFLITE_GRAPH,
        "        interpreter.invoke()\n",
        "",
        "sizes that are computed keep those of the file",
    ),
    Mutation(
        ANALYSIS,
        "root = graph.tensors.get(tensor.source, tensor)",
        "root = tensor",
        "weights that are dequantized count as none",
    ),
)
