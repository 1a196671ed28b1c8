"""Whose the output is, who may write it, and how a step gets into it."""
