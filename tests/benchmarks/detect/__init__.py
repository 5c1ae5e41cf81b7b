"""The proof of the local detector: found faults, false findings, cost, beside blind baselines.

``python -m tests.benchmarks.detect`` prints all of it, one file per family of rows. The measures know two
sorts of data: what the detector's figures were chosen on, and siblings that nobody looked at meanwhile.
"""
