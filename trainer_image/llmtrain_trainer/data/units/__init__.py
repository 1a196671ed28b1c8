"""Data preparation in units: a part of the text each, made by any process, done once its JSON is there."""
