"""Posts what is on record as due to the receivers of jobs."""
