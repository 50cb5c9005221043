"""What a model costs the hardware: pure functions on its graph.

``macs``, ``liveness``, what one operator and one moment take; ``roofline``, what this machine can
do; ``matching``, times of a profile; ``analysis`` puts them together, ``rows`` makes tables.
``fitting`` says whether a microcontroller has room: ``micro``, what tflite-micro takes beside
tensors, ``microcheck``, what it says itself; ``quantizing``, sizes in int8; ``boards`` and
``sizes``, what there is.
"""

from edge_tester.core.analysis.analysis import Analysis as Analysis
from edge_tester.core.analysis.analysis import Layer as Layer
from edge_tester.core.analysis.analysis import analyze as analyze
from edge_tester.core.analysis.fitting import Fit as Fit
from edge_tester.core.analysis.fitting import fit as fit
from edge_tester.core.analysis.rows import layer_rows as layer_rows
from edge_tester.core.analysis.rows import summary_row as summary_row
