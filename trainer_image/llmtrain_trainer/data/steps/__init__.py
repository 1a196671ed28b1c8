"""The steps of data preparation, one a file; `prepare.STEPS` has their order."""
