"""Progress intake: an HTTPS server for the trainers' reports, and the last one of each attempt."""
