"""The lake in SQL: DuckDB over its tables and over the tables that lie in files, read-only, in a process of its own.

:mod:`.session` is the face: it finds what a query names, starts the process and passes rows on. :mod:`.child_main` is
that process, :mod:`.database` DuckDB in it, :mod:`.shapes` how a file becomes a table.
"""
