"""Manifests of a job's children, as functions of values."""
