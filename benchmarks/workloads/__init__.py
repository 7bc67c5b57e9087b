"""The workloads: one folder for each, with the same file names."""
