"""How a gang may be cut: layouts, and the table of those that are proven."""
