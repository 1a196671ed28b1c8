"""The same core without Kubernetes: an API in memory and a runner that starts pods as processes."""
