"""A file system that stops answering: ``python dead_disk.py MOUNTPOINT``. What a NAS that lost its network is like.

``good.txt`` can be read. Reading ``slow.txt`` never ends, but a process that waits for it can be killed. Who opens
``dead.txt`` waits in the kernel where not even SIGKILL reaches, until this process ends; each of them is a line here.
"""

import errno
import os
import stat
import sys

import pyfuse3
import trio

NAMES = {b"good.txt": 2, b"dead.txt": 3, b"slow.txt": 4}
TEXT = b"Some words that can be read.\n"


class DeadDisk(pyfuse3.Operations):
    async def getattr(self, inode, ctx=None):
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = stat.S_IFDIR | 0o755 if inode == pyfuse3.ROOT_INODE else stat.S_IFREG | 0o644
        entry.st_size = len(TEXT)
        entry.st_uid, entry.st_gid = os.getuid(), os.getgid()
        return entry

    async def lookup(self, parent_inode, name, ctx=None):
        if name not in NAMES:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(NAMES[name])

    async def opendir(self, inode, ctx):
        return inode

    async def readdir(self, fh, start_id, token):
        for number, (name, inode) in enumerate(sorted(NAMES.items()), 1):
            if number > start_id and not pyfuse3.readdir_reply(token, name, await self.getattr(inode), number):
                return

    async def open(self, inode, flags, ctx):
        if inode == NAMES[b"dead.txt"]:
            print("dead.txt", flush=True)
            await trio.sleep_forever()
        return pyfuse3.FileInfo(fh=inode)

    async def read(self, fh, off, size):
        if fh == NAMES[b"slow.txt"]:
            await trio.sleep_forever()
        return TEXT[off : off + size]


if __name__ == "__main__":
    pyfuse3.init(DeadDisk(), sys.argv[1], {*pyfuse3.default_options, "fsname=dead-disk"})
    print("mounted", flush=True)
    trio.run(pyfuse3.main)
