"""The proof of the local detector: faults found, false findings, cost.

``python -m tests.benchmarks.detect`` prints all of it next to blind baselines and z-scores, one file per
family of rows. The measures know two sorts of data: those on which the detector's figures were chosen
("tuned on"), and siblings that are not looked at while it is changed.
"""
