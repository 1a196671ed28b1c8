"""An output in an object store: every node works in a private folder, the store holds what is kept."""
