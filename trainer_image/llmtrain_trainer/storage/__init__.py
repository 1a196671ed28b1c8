"""Where a job's output lives: a folder that all nodes share, or an object store."""
