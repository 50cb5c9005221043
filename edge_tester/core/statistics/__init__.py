"""Statistics of latencies and of answers: pure functions on raw values.

``distributions``, what all others look up; ``percentiles`` and ``dependence``, how much a sample
says about a percentile; ``intervals`` and ``percentileinterval``, over replicates; ``changepoints``
and ``steady``, whether latencies settled; ``comparing`` and ``verdicts``, whether one is faster;
``sequential``, when enough was measured; ``paired``, ``ranking`` and ``regression``, how good
answers are; ``earlystopping``, MLPerf's estimate. docs/statistics.rst has the literature.
"""
