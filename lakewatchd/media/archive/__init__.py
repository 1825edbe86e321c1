"""Archives: listed, and never unpacked to disk. What is in them is told by names, sizes and dates, as far as they say.

:mod:`.zipped` reads the directory at the end of a ZIP, :mod:`.streamed` goes through all others by libarchive;
:mod:`.listing` says in words what either found. No member is opened, unless ``decode.archive_members`` asks for the
texts of some: :mod:`.members`.
"""
