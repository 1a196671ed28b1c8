"""The web page: a process of its own that shows jobs to those who may see them, and decides nothing."""
