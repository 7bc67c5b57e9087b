"""How runs are started: as ranks, in series, in containers, by Slurm."""
