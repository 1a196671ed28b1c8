"""Trackers of experiments: a process of its own for each, which reads the job's curves from the output."""
