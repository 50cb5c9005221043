"""What a model costs the hardware: pure functions on its graph.

``macs``, ``liveness``, what one operator and one moment take; ``roofline``, what this machine can
do; ``matching``, times of a profile; ``analysis`` puts them together, ``rows`` makes tables.
"""

from edge_tester.core.analysis.analysis import Analysis as Analysis
from edge_tester.core.analysis.analysis import Layer as Layer
from edge_tester.core.analysis.analysis import analyze as analyze
from edge_tester.core.analysis.rows import layer_rows as layer_rows
from edge_tester.core.analysis.rows import summary_row as summary_row
