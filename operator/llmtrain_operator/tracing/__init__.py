"""Traces of how attempts start: from status and pods to spans, and by OTLP to a collector."""
