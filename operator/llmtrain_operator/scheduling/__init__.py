"""Who starts next: the queue of gangs, what they need, and what the cluster has left."""
