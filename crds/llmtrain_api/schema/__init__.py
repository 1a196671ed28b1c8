"""What a manifest may say: one section of the spec, or of the status, a file."""
