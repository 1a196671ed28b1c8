"""The trainer: what runs inside a worker pod, from PID 1 to the exported model."""
