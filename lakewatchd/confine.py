"""What a process that reads hostile bytes takes from itself, for good: files, network, other processes, new code.

Two layers, each good on its own, as either may be missing (old kernel, container, a strict unit):

* Landlock: files can be opened for reading below the given directories, and nothing can be opened otherwise;
  no TCP; no signals and no abstract sockets to processes outside.
* seccomp: an allow list of system calls. No sockets, no processes, no signals to others, no opening for writing, and
  no memory that can be executed. Threads are allowed. Everything else fails with EPERM.

Both need no privilege, bind every thread started later, and cannot be undone. Libraries are loaded before.
``ctypes`` on the kernel and on libseccomp itself: the Python packages around them are not kept (docs/decisions).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable, Iterator

from lakewatchd.core.status import Layer


def confine(readable: Iterable[int]) -> tuple[Layer, ...]:
    """Give up everything but reading below the directories ``readable`` (descriptors), and talking on open ones.

    Never fails: a layer that cannot be had is told as one that does not hold, with the reason.
    """
    library = _libseccomp()  # while it can still be read
    return _layer("landlock", lambda: _landlock(readable)), _layer("seccomp", lambda: _seccomp(library))


def _layer(name: str, apply: Callable[[], str]) -> Layer:
    try:
        return Layer(name, True, apply())
    except OSError as exc:
        return Layer(name, False, _WHY.get(exc.errno or 0, exc.strerror or str(exc)))


_WHY = {
    errno.ENOSYS: "this kernel does not have it",
    errno.EOPNOTSUPP: "switched off when the kernel was booted (lsm=)",
    errno.EPERM: "refused by the system call filter of a container or of the systemd unit",
    errno.ENOENT: "libseccomp is not installed: apt-get install libseccomp2",
}

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    """The result of a libc call; raises ``OSError``."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# --- Landlock (https://docs.kernel.org/userspace-api/landlock.html) -----------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION_ONLY, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Kernel interface version -> how many kinds of access to files it can forbid: the lowest bits. 5 and later: 16."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("directory", ctypes.c_int32))


def _landlock(readable: Iterable[int]) -> str:
    version = _checked(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_ONLY))
    ruleset = _Ruleset((1 << _FILE_RIGHTS.get(version, 16)) - 1, 0b11 * (version >= 4), 0b11 * (version >= 6))
    known = 8 * (1 + (version >= 4) + (version >= 6))  # the kernel refuses a structure longer than it knows
    rules = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(known), 0))
    try:
        for directory in readable:
            beneath = _Beneath(_READ_FILE | _READ_DIR, directory)
            _checked(_libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(beneath), 0))
        _checked(_libc.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    lacks = [(4, "network"), (6, "signals")]
    missing = [what for since, what in lacks if version < since]
    return f"version {version}" + (f", too old for {' and '.join(missing)}" if missing else "")


# --- seccomp (https://man7.org/linux/man-pages/man3/seccomp_init.3.html) ------------------------------------

_ALLOWED = """
    read readv pread64 preadv preadv2 write writev lseek close dup fstat newfstatat stat lstat statx access faccessat
    faccessat2 getdents64 readlink readlinkat getcwd fadvise64 sendto recvfrom sendmsg recvmsg poll ppoll
    munmap mremap madvise brk futex set_robust_list rseq membarrier sched_yield sched_getaffinity
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage
    getpid gettid getppid getuid geteuid getgid getegid getrandom uname sysinfo getrlimit setrlimit
    exit exit_group
"""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
_PROT_EXEC, _CLONE_THREAD = 4, 0x00010000
_F_GETFD, _F_GETFL = 1, 3


class _Compare(ctypes.Structure):
    """Argument number, operator and operands: ``value & a == b`` when masked, else ``value == a``."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def _conditions() -> Iterator[tuple[str, _Compare]]:
    yield "openat", _Compare(2, _MASKED_EQUAL, _WRITING, 0)
    for call in ("mmap", "mprotect"):
        yield call, _Compare(2, _MASKED_EQUAL, _PROT_EXEC, 0)
    yield "clone", _Compare(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD)
    for command in (_F_GETFD, _F_GETFL):
        yield "fcntl", _Compare(1, _EQUAL, command, 0)
    yield "prlimit64", _Compare(0, _EQUAL, 0, 0)  # its own limits: a daemon with no processor time left is killed
    yield "tgkill", _Compare(0, _EQUAL, os.getpid(), 0)  # abort() signals itself


def _libseccomp() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


def _seccomp(lib: ctypes.CDLL | None) -> str:
    if lib is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    lib.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))

    def add(action: int, call: str, *conditions: _Compare) -> None:
        number = lib.seccomp_syscall_resolve_name(call.encode())
        compare = (_Compare * len(conditions))(*conditions)
        _ok(lib.seccomp_rule_add_array(rules, ctypes.c_uint32(action), number, len(conditions), compare))

    try:
        for call in _ALLOWED.split():
            add(_ALLOW, call)
        for call, condition in _conditions():
            add(_ALLOW, call, condition)
        for call in ("clone3", "openat2"):  # their arguments lie in memory: libraries fall back on the old ones
            add(_ERRNO | errno.ENOSYS, call)
        _ok(lib.seccomp_load(rules))
    finally:
        lib.seccomp_release(rules)
    return "system calls by allow list"


def _ok(result: int) -> None:
    """libseccomp returns errors as negative numbers."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
