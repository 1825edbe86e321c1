"""Readers of documents, one module per family of formats: bytes in, a :class:`~.writing.Writing` out.

They run in a decoder child only. Each takes a stream and the settings, reads no more than it may, and raises
``AssetError`` about the file. :mod:`lakewatchd.media.document` knows which reader reads what.
"""
