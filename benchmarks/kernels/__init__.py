"""The kind of workload "numerical kernel": implementations of one calculation, each in a process."""
