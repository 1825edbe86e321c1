"""Bytes -> pixels, text and numbers. No models, no tables; the originals are only ever read.

Everything here that touches the content of a file runs in a child process; :mod:`.sandbox` is the door.
"""
