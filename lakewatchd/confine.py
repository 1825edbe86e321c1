"""What a process that reads hostile bytes takes from itself, for good: files, network, other processes, new code.

Two layers, each good on its own, as either may be missing (old kernel, container, a strict unit):

* Landlock: files can be opened for reading below the given places, and nothing can be opened otherwise;
  no TCP; no signals and no abstract sockets to processes outside.
* seccomp: an allow list of system calls. No sockets, no processes, no signals to others, no opening for writing, and
  no memory that can be executed. Threads are allowed. Everything else fails with EPERM. A server may also accept who
  comes to the sockets it was given.

A process that serves the lake to people needs more: :func:`enclose` leaves it some directories to write, some programs
to start and some ports to connect to, and takes the calls that only an intruder makes.

Both need no privilege, bind every thread started later, and cannot be undone. Libraries are loaded before.
``ctypes`` on the kernel and on libseccomp itself: the Python packages around them are not kept (docs/decisions).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lakewatchd.core.status import Layer


def confine(readable: Iterable[str], *, is_server: bool = False) -> tuple[Layer, ...]:
    """Give up everything but reading ``readable``, directories or files, and talking on open descriptors.

    Python's own directories can be read too, as a codec may be looked up later. What is not there is left out.
    Never fails: a layer that cannot be had is told as one that does not hold, with the reason.
    """
    more = _SERVER if is_server else ""
    library = _libseccomp()  # while it can still be read
    with contextlib.ExitStack() as held:
        folders = [held.enter_context(one) for one in map(_held, (*readable, *_python()))]
        there = [fd for fd in folders if fd is not None]
        return _layer("landlock", lambda: _landlock(there)), _layer("seccomp", lambda: _seccomp(library, more))


@dataclass(frozen=True, slots=True)
class Ground:
    """What a process that serves the lake goes on using. Places that are not there are left out."""

    readable: tuple[str, ...]
    """Directories and files."""
    writable: tuple[str, ...] = ()
    runnable: tuple[str, ...] = ()
    """Programs, and directories of programs and of what loads them."""
    ports: tuple[int, ...] = ()
    """TCP, to connect to."""


def enclose(ground: Ground) -> tuple[Layer, ...]:
    """Give up all but ``ground``, for this process and all that it starts. Never fails, as :func:`confine`."""
    library = _libseccomp()
    with contextlib.ExitStack() as held:

        def rules() -> Iterator[tuple[int, int]]:
            for places, rights in (
                ((*ground.readable, *_python()), _READ_FILE | _READ_DIR),
                ((str(Path(__file__).parents[1]),), _READ_DIR),  # a new Python finds the package by looking through it
                (ground.writable, _EVERYTHING),
                (ground.runnable, _EXECUTE | _READ_FILE | _READ_DIR),
            ):
                for place in places:
                    if (fd := held.enter_context(_held(place))) is not None:
                        yield fd, rights

        return (
            _layer("landlock", lambda: _restrict(rules(), ground.ports)),
            _layer("seccomp", lambda: _refuse_calls(library)),
        )


def _python() -> list[str]:
    """Where modules are found: one may be looked up later."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return [*sorted(places), str(Path(__file__).parent)]


@contextlib.contextmanager
def _held(place: str) -> Iterator[int | None]:
    """A descriptor that names it; None where it is not there."""
    try:
        fd = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


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
_PORT = 2
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_EVERYTHING = (1 << 16) - 1 & ~_EXECUTE
_OF_FILES = _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15
"""Rights that a file can have; the others are of directories."""
_CONNECT = 1 << 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Kernel interface version -> how many kinds of access to files it can forbid: the lowest bits. 5 and later: 16."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("directory", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def _landlock(readable: Iterable[int]) -> str:
    return _restrict((fd, _READ_FILE | _READ_DIR) for fd in readable)


def _restrict(allowed: Iterable[tuple[int, int]], ports: Iterable[int] = ()) -> str:
    """To ``allowed``: descriptors of files and directories, and the rights on what lies below."""
    version = _checked(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_ONLY))
    ruleset = _Ruleset((1 << _FILE_RIGHTS.get(version, 16)) - 1, 0b11 * (version >= 4), 0b11 * (version >= 6))
    known = 8 * (1 + (version >= 4) + (version >= 6))  # the kernel refuses a structure longer than it knows
    rules = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(known), 0))
    try:
        for place, rights in allowed:
            kinds = ruleset.files if stat.S_ISDIR(os.fstat(place).st_mode) else _OF_FILES
            beneath = _Beneath(rights & ruleset.files & kinds, place)
            _checked(_libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(beneath), 0))
        for port in ports if version >= 4 else ():
            _checked(_libc.syscall(_ADD_RULE, rules, _PORT, ctypes.byref(_Port(_CONNECT, port)), 0))
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
_SERVER = """
    accept4 listen shutdown getsockname getpeername getsockopt setsockopt epoll_ctl epoll_wait epoll_pwait
"""
_INTRUDERS = """
    ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp bpf perf_event_open userfaultfd
    mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr setns unshare
    add_key keyctl request_key kexec_load kexec_file_load init_module finit_module delete_module
    open_by_handle_at name_to_handle_at io_uring_setup io_uring_enter io_uring_register
    acct quotactl reboot swapon swapoff settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname
    personality iopl ioperm syslog vhangup
"""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED_EQUAL = 4, 7
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | (os.O_TMPFILE & ~os.O_DIRECTORY)
_PROT_EXEC, _CLONE_THREAD = 4, 0x00010000
_F_GETFD, _F_GETFL = 1, 3
_FIONBIO = 0x5421


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
    yield "ioctl", _Compare(1, _EQUAL, _FIONBIO, 0)  # not to wait on an open socket
    yield "prlimit64", _Compare(0, _EQUAL, 0, 0)  # its own limits: a daemon with no processor time left is killed
    yield "tgkill", _Compare(0, _EQUAL, os.getpid(), 0)  # abort() signals itself


def _libseccomp() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None


def _seccomp(lib: ctypes.CDLL | None, more: str = "") -> str:
    if lib is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    lib.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))

    def add(action: int, call: str, *conditions: _Compare) -> None:
        number = lib.seccomp_syscall_resolve_name(call.encode())
        compare = (_Compare * len(conditions))(*conditions)
        _ok(lib.seccomp_rule_add_array(rules, ctypes.c_uint32(action), number, len(conditions), compare))

    try:
        for call in (_ALLOWED + more).split():
            add(_ALLOW, call)
        for call, condition in _conditions():
            add(_ALLOW, call, condition)
        for call in ("clone3", "openat2"):  # their arguments lie in memory: libraries fall back on the old ones
            add(_ERRNO | errno.ENOSYS, call)
        _ok(lib.seccomp_load(rules))
    finally:
        lib.seccomp_release(rules)
    return "system calls by allow list"


def _refuse_calls(lib: ctypes.CDLL | None) -> str:
    """Threads, processes and files are its work; what is left to refuse is what touches others and the kernel."""
    if lib is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    lib.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(lib.seccomp_init(ctypes.c_uint32(_ALLOW)))
    try:
        for call in _INTRUDERS.split():
            number = lib.seccomp_syscall_resolve_name(call.encode())
            if number >= 0:  # unknown to this version, or to this processor
                _ok(lib.seccomp_rule_add_array(rules, ctypes.c_uint32(_ERRNO | errno.EPERM), number, 0, None))
        _ok(lib.seccomp_load(rules))
    finally:
        lib.seccomp_release(rules)
    return "system calls by block list"


def _ok(result: int) -> None:
    """libseccomp returns errors as negative numbers."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
