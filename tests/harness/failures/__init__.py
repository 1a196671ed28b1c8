"""Failures that are caused for real, each in a process of its own, with what is to be said of them."""
