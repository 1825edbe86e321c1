"""The lake as folders: a read-only FUSE file system, in a process of its own."""
