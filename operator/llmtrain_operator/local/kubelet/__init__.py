"""A kubelet of local processes: pods as process trees, their volumes, tokens and GPUs."""
