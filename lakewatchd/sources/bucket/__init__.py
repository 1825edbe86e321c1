"""A bucket as a root: ways in for its events, and the listing that finds what they lost."""
