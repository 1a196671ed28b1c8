"""Bugs planted one at a time: the suite must find every one of them."""
