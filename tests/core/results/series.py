"""Records of several replicates whose true ratio is known."""

import msgspec
import numpy as np

from edge_tester.core.record import Block, Predictions, RunRecord
from tests.report.records import record, replicate


def disturbed(seed, replicates=6, blocks=8):
    """What the machine does to each block, whoever runs: it gets slower and faster again."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(0, 0.02, (replicates, blocks)).cumsum(axis=1)
    return np.exp(generator.normal(0, 0.1, (replicates, 1)) + steps)


def measured(name, scale_ns, machine, seed, *, together=None, noise=0.005, count=50) -> RunRecord:
    """A record whose latencies are the scale times what the machine does, with noise."""
    generator = np.random.default_rng(seed)
    replicates = []
    for row in machine:
        own = np.exp(generator.normal(0, noise / 3))
        blocks = [
            Block(
                start_ns=0,
                target_ns=(scale_ns * own * factor * generator.lognormal(0, noise, count))
                .astype(int)
                .tolist(),
            )
            for factor in row
        ]
        replicates.append(msgspec.structs.replace(replicate([1]), blocks=blocks))
    return record(name, replicates=replicates, together=together)


def answered(one: RunRecord, truth, predicted) -> RunRecord:
    """A record with these answers."""
    kept = Predictions(index=list(range(len(truth))), truth=list(truth), predicted=list(predicted))
    return msgspec.structs.replace(one, predictions=kept)
