"""From text to fixed-length token sequences, once a job, and back to batches in an exact order."""
