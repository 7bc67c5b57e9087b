"""Throughput against the number of ranks: the runs, the figures and the model."""
