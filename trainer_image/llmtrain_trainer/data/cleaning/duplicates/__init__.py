"""Which documents are copies of others: a signature of each, kept on the disk, then one decision over all."""
