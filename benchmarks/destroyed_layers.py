"""Whether a destroyed layer of a conversion is named, and shown by a model of that layer alone.

Run: ``python benchmarks/destroyed_layers.py [--cases 20] [--seed 0]``, some minutes. Five networks
of different structure, five pairs of formats. In each case one random layer of the conversion has
its weights permuted, or a scale multiplied or divided by 8. Goals: named first in at least 19 of 20
cases; the model that is cut out shows at least 90 % of the root mean squared difference of the
whole at that layer, and so does its script in a process without this package; no layer of an
undamaged conversion is named.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from edge_tester.core.checking.cutting import cut_down  # noqa: E402
from edge_tester.core.checking.layers import compare_layers  # noqa: E402
from tests.damaged_networks import KINDS, NETWORKS, damaged, feeds, side  # noqa: E402

SAMPLES = 4
SHOWN = 0.9


def case(name, source, conversion, folder, generator, number):
    """Damage one layer; return what came of it."""
    ours = side(name, source, folder)
    path = side(name, conversion, folder).path
    damage = damaged(path, folder / f"damaged-{number}{path.suffix}", generator)
    theirs = side(name, conversion, folder, damage.path)
    values = feeds(name, SAMPLES, last="tflite" in conversion)
    found = compare_layers(ours, theirs, values)
    broken = found.broken
    named = broken is not None and damage.place in broken.places
    result = {"named": named, "exactly": named and broken.place == damage.place, "shown": False}
    told = "nothing" if broken is None else f"{broken.kind} at {broken.places}"
    if named:
        target = folder / f"cut-{number}"
        small = cut_down(found, ours, theirs, values, target)
        script = [sys.executable, "-I", str(target / "reproduce.py")]
        ran = subprocess.run(script, capture_output=True, text=True, cwd=folder)
        result["shown"] = small.share >= SHOWN and ran.returncode == 0
        result["share"], result["operators"] = small.share, small.operators
        told += f", {100 * small.share:.0f} % shown by {small.operators} operators"
    if not (result["named"] and result["shown"]):
        print(f"    missed: {name}, {damage.what}: {told}")
    return result


def undamaged(source, conversion, folder):
    """Return which networks' conversions have a layer named."""
    alarms = []
    for name in NETWORKS:
        values = feeds(name, SAMPLES, last="tflite" in conversion)
        ours, theirs = side(name, source, folder), side(name, conversion, folder)
        found = compare_layers(ours, theirs, values)
        if found.first is not None:
            alarms.append(name)
            print(f"    false alarm: {name}: {found.words}")
    return alarms


def main():
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20, help="Of each pair of formats")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(
            f"{'source -> conversion':>28}{'named first':>14}{'the operator':>14}{'shown':>10}",
            end="",
        )
        print(f"{'least share':>13}{'false alarms':>14}")
        for source, conversion in KINDS:
            generator = np.random.default_rng(arguments.seed)
            results = [
                case(NETWORKS[n % len(NETWORKS)], source, conversion, folder, generator, n)
                for n in range(arguments.cases)
            ]
            alarms = undamaged(source, conversion, folder)
            named, exactly, shown = (
                sum(one[key] for one in results) for key in ("named", "exactly", "shown")
            )
            least = min((one["share"] for one in results if "share" in one), default=0.0)
            total = len(results)
            print(
                f"{source + ' -> ' + conversion:>28}{f'{named} of {total}':>14}"
                f"{f'{exactly} of {total}':>14}{f'{shown} of {named}':>10}{100 * least:>11.0f} %"
                f"{f'{len(alarms)} of {len(NETWORKS)}':>14}"
            )
            good &= 20 * named >= 19 * total and shown == named and not alarms
    print("goals met" if good else "goals missed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
