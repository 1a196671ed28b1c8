"""Held-out loss, generation, and the export that must reproduce them."""
