"""Prompts that a model writes answers to, each maybe with the right one."""
