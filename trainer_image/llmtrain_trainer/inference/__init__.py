"""Using a model that was trained: a folder, a prompt, and text in a terminal. Knows nothing of jobs."""
