"""The optimizer, its parameter groups, and learning rate schedules."""
