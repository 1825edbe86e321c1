"""Every error lakewatchd raises on purpose.

::

    LakewatchError(message, hint=None)   hint = what the operator can do; shown by CLI, logs and status
    ├─ ConfigError      problems of the configuration, listed together; exit 78, systemd does not restart
    ├─ FatalError       must not continue; exit 70
    │  ├─ QueueUnusable       the queue database cannot be opened or written here
    │  │  └─ QueueDamaged        it holds no queue any more: the next start moves it aside
    │  ├─ LakeDamaged         tables or ledger of the lake cannot be read
    │  ├─ SchemaTooNew        written by a newer lakewatchd
    │  └─ AlreadyRunning      another daemon owns this lake
    ├─ PauseError       a resource is away: stop feeding it, spend no attempts
    │  ├─ RootAway            a root is unmounted, empty or unreadable
    │  ├─ OutOfSpace          no room for the lake, the queue or scratch files
    │  ├─ LakeAway            the bucket that the lake is in does not answer, or refuses
    │  └─ ModelUnavailable    a model cannot be loaded
    ├─ TransientError   try again later, with backoff and jitter, counted
    │  ├─ Busy                held by someone else just now
    │  ├─ TimedOut            took longer than its deadline, perhaps through no fault of the content
    │  ├─ WorkerDied          a child process ended while it worked for us
    │  └─ ServiceAway         another program that is asked gave no answer
    ├─ DaemonDown       nobody listens on the control socket; exit 3
    ├─ BadQuery         a question that cannot be answered as it was asked; exit 2
    └─ AssetError       about this content: not retried until the content or the code changes
       ├─ UnsupportedMedia    no decoder for it
       ├─ DamagedMedia        the decoder gave up, crashed or never finished
       ├─ TooLarge            above a configured limit
       └─ NotReadable         permission denied, or an I/O error that stays

``AssetError`` parks the job. What is *not* an error is an outcome, see :mod:`lakewatchd.core.job`.
A foreign exception is translated in the module that imports the foreign library, with ``from exc``.
"""

from __future__ import annotations


class LakewatchError(Exception):
    """Base of all. ``message`` says what is wrong, ``hint`` what the operator can do about it."""

    exit_code = 1
    usual_hint: str | None = None
    """What to do where the one who raises knows no better."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.usual_hint
        self.place = ""
        """``root:path`` of the file it is about, where whoever raised or passed it on knows it."""

    @property
    def reason(self) -> str:
        """The class name in words a person can filter by: ``DamagedMedia`` -> ``damaged-media``."""
        name = type(self).__name__
        return "".join("-" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


class ConfigError(LakewatchError):
    exit_code = 78  # EX_CONFIG: systemd is told not to restart on it


class FatalError(LakewatchError):
    exit_code = 70  # EX_SOFTWARE


class QueueUnusable(FatalError):
    pass


class QueueDamaged(QueueUnusable):
    pass


class LakeDamaged(FatalError):
    usual_hint = "lakewatchd check --repair keeps what can be read; a rescan makes up for the rest"


class SchemaTooNew(FatalError):
    pass


class AlreadyRunning(FatalError):
    pass


class DaemonDown(LakewatchError):
    exit_code = 3


class BadQuery(LakewatchError):
    exit_code = 2


class PauseError(LakewatchError):
    pass


class RootAway(PauseError):
    pass


class OutOfSpace(PauseError):
    pass


class LakeAway(PauseError):
    usual_hint = "work goes on by itself once the server answers"


class ModelUnavailable(PauseError):
    pass


class TransientError(LakewatchError):
    pass


class Busy(TransientError):
    pass


class TimedOut(TransientError):
    cpu_s: float | None = None
    """How long its process really worked in that time, where that is known; the rest it waited."""


class WorkerDied(TransientError):
    pass


class ServiceAway(TransientError):
    pass


class AssetError(LakewatchError):
    pass


class UnsupportedMedia(AssetError):
    usual_hint = "nothing here can decode it; leave it out with a .lakeignore file, or keep it as it is"


class DamagedMedia(AssetError):
    usual_hint = "mend or replace the file: it is tried again by itself; or: lakewatchd queue retry PATH"


class TooLarge(AssetError):
    usual_hint = "raise the limit under [decode], then: lakewatchd queue retry PATH"


class NotReadable(AssetError):
    usual_hint = "let the daemon's user read it, then: lakewatchd queue retry PATH"
