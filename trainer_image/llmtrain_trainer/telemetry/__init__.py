"""Progress to the operator, metrics to Prometheus."""
