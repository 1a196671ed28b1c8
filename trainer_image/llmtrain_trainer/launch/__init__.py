"""PID 1 of a worker pod: its stages, torchrun, a failure's root cause, the termination message. No torch."""
