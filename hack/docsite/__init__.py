"""The documents of this repository as one site: what belongs to it, what is generated, how it is built."""
