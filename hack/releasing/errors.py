"""What keeps a release from being made."""


class ReleaseError(Exception):
    """One sentence that names what is wrong and what helps."""
