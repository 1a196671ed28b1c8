"""Parallelism, applied by one ordered function: `apply`. Each kind is one short file."""
