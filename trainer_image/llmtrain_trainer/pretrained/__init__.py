"""Models that exist: looked at before training, and fetched where they lie on no volume."""
