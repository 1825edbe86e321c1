"""Search: a question is taken apart, asked at several doors at once, and answered by one ranking."""
