"""One rank: the loop, its checkpoints, and what it knows of the run besides weights."""
