"""Sweeps: what one has come to, and which jobs it makes next."""
