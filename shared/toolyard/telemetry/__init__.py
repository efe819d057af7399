"""What the processes say about themselves: logs, traces, metrics. Names of them live here and nowhere else."""
