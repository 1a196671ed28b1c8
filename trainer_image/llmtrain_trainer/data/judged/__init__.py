"""Answers that are desirable or not, each by itself."""
