"""lakewatchd watches directory trees and keeps a LanceDB lake and a read-only view in step with them.

The rooms, in the order a file walks them:

``sources``  the outside world -> :class:`~lakewatchd.core.event.FileEvent`
``queue``    durable work: one pending job per key, newest wins (SQLite)
``stages``   one job -> rows; each stage can be repeated without harm
``media``    bytes -> pixels and text, in child processes with limits
``models``   pixels and text -> vectors, tags and objects, in a child process
``lake``     rows -> Lance tables; the only writer
``views``    tables -> folders; read-only

``core`` holds the nouns they share, ``daemon`` is the only place that connects them, ``cli`` is the front door.
Importing this package is cheap: heavy libraries load where they are used.
"""

__version__ = "0.1.0"
