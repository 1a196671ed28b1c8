"""Dialogues with images: where an image stands in a text, its pixels as a model sees them, rows with both."""
