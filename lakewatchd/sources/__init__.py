"""The outside world -> :class:`~lakewatchd.core.event.FileEvent`.

``ignore`` which entries are left out, ``roots`` whether a root is there, ``scan`` compare a tree with what is
known, ``watch`` hear of changes, ``coalesce`` and ``settle`` wait until a path is quiet, ``strategy`` how a root is
watched and why, ``ears`` what listens, ``polling`` where nothing tells, ``scanning`` the lanes of scans, ``live`` one
root with all of it. Nothing here knows the queue or the lake: the past comes in through ``scan.Known``, events go out
through a callable.
"""
