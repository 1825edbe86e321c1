"""Tables: their columns, types, rows and a few samples, read by a decoder.

Each format has a module that makes :class:`.described.Described` of a file; :mod:`.described` says that in words and in
the shape that other programs read (:mod:`lakewatchd.core.table`).
"""
