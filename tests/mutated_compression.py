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
        (f"{COMPRESSED[0]}::test_ranges_and_statistics_stay_after_freezing",),
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
        "edge_tester/core/system/torchprograms.py",
        "averaging_constant=1)",
        "averaging_constant=0.01)",
        "ranges of weights lag behind the weights that are trained",
        (f"{COMPRESSED[0]}::test_ranges_of_weights_are_those_of_the_weights_as_they_are",),
    ),
    Mutation(
        f"{FRAMEWORKS}/torch_compression.py",
        "self._options.rate_quantized",
        "self._options.learning_rate",
        "a network is quantized at the rate of training from scratch",
        (f"{COMPRESSED[0]}::test_it_learns_more_slowly_while_quantized",),
    ),
    Mutation(
        "edge_tester/core/system/onnxmetadata.py",
        "if entry.key == SCOPES or not entry.key.startswith(_DEBUGGING)",
        "if True",
        "files say where on this machine the code of a model lies",
        ("tests/compilers/test_onnx.py::test_no_file_says_where_its_code_lies",),
    ),
    Mutation(
        "edge_tester/modelwrappers/frameworks/file.py",
        "if self.runtime is None or self.loaded_for != 1:",
        "if self.runtime is None:",
        "a file that ran a batch is compiled for that batch",
        ("tests/modelwrappers/generic/test_files.py",),
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
