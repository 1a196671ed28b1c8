"""Models that are built from a configuration and a seed."""
