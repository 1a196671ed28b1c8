"""The runtimes that platform teams have put into the cluster, and which of them a job is under."""
