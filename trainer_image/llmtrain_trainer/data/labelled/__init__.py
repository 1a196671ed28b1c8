"""Samples that have what is to be learnt of them beside their text: from rows of files to rows of tokens."""
