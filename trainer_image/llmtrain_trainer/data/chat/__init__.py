"""Dialogues: rows to messages, messages to tokens with what is trained on, and dialogues packed into rows."""
