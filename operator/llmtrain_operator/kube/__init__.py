"""The Kubernetes API: a protocol, its HTTP implementation, and what is kept of the pods."""
