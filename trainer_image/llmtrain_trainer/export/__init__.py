"""The trained model as a Hugging Face folder, read back and compared."""
