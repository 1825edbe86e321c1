"""Answers: passages that may hold one, what a model says of them, held against them sentence by sentence."""
