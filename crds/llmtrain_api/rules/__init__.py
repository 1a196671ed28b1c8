"""Rules between fields, each in Python and, where CEL can say it, in CEL."""
