"""Changes of compressing and quantizing PyTorch models, each of which must make its tests fail."""

from tests.mutated import Mutation

CHAIN = "edge_tester/core/making/chain.py"
PT2E = "edge_tester/compilers/_shared/pt2e.py"
FRAMEWORKS = "edge_tester/modelwrappers/frameworks"
PRUNED = ("tests/modelwrappers/frameworks/test_torch_pruning.py",)
COMPRESSED = ("tests/modelwrappers/frameworks/test_torch_compression.py",)

COMPRESSION = (
    Mutation(
        f"{FRAMEWORKS}/torch_pruning.py",
        "ignored_layers=self.kept,",
        "ignored_layers=[],",
        "the channels of the classifier are pruned",
        PRUNED,
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_pruning.py",
        "each = weight.square() if",
        "each = -weight.square() if",
        "the largest channels are pruned",
        PRUNED,
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_training.py",
        "return (1 - weight) * own + weight * apart",
        "return own",
        "the weight of distillation is ignored",
        COMPRESSED,
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_quantizing.py",
        "        self.network.apply(self._tools.disable_observer)\n",
        "",
        "observed ranges are never frozen",
        COMPRESSED,
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_quantizing.py",
        "arguments[_TRAINING] = False",
        "arguments[_TRAINING] = True",
        "statistics of batch normalization are never frozen",
        COMPRESSED,
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_compression.py",
        "np.random.default_rng(compression.loader_seed)",
        "np.random.default_rng()",
        "the seed of the order of samples is ignored",
        COMPRESSED,
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_training.py",
        "        torch.manual_seed(seed)\n",
        "",
        "the seed of what is drawn is ignored",
        COMPRESSED,
    ),
    Mutation(
        PT2E,
        "    for sample in samples:\n",
        "    for sample in list(samples)[:0]:\n",
        "calibration is skipped",
        ("tests/compilers/test_pt2e.py",),
    ),
    Mutation(
        CHAIN,
        "if not one().quantizes",
        "if one()",
        "a model is quantized though nobody asked for it",
        ("tests/core/making/test_chain.py",),
    ),
)
