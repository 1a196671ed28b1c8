"""PID 1 of a worker pod: its stages, torchrun, the root cause of a failure, the termination message. No torch."""
