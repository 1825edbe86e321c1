"""The files of a lake in a bucket.

Lance commits by a conditional write: a manifest is put only if nobody has put it. So does the ledger here, on top of
the lease (:mod:`lakewatchd.lake.lease`): a writer that was ousted cannot tell anybody that its rows are durable.

Invariant: what the server confirmed is there whole or not at all, and what was written here is replaced only while
nobody else replaced it, as far as the server knows of conditions (docs/decisions/0017).
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from lakewatchd.buckets.access import Credentials
from lakewatchd.buckets.signed import Answer, NoAnswer, Signed
from lakewatchd.config import LakeConfig
from lakewatchd.errors import FatalError, LakeAway
from lakewatchd.lake.files import LOCK, FileLock
from lakewatchd.lake.lance_errors import of_bucket
from lakewatchd.lake.lease import Lease, Leases, Stored

log = logging.getLogger(__name__)

REQUEST_S, RETRY_S = 20, 10
"""A request of Lance's may take so long, and is tried again if it failed within the second. Lance has several layers
that try again: a server that hangs is given up after some two minutes, one that refuses after seconds."""

_NO_ENDPOINT = "without lake.endpoint it is Amazon's: endpoint = … under [lake] names another; or check the network"
_SYSTEM_CAS = "/etc/ssl/certs"


class BucketLock:
    """The lock of this machine, and the lease that other machines see."""

    def __init__(self, local: FileLock, lease: Lease) -> None:
        self._local, self._lease = local, lease

    def require(self) -> None:
        self._lease.require()

    @property
    def doubt(self) -> str:
        return self._lease.doubt

    def release(self) -> None:
        try:
            self._lease.release()
        finally:
            self._local.release()


class BucketFiles:
    era = "bucket"
    """What the server confirmed is on its disks: its affair."""

    def __init__(self, config: LakeConfig, credentials: Credentials, local: Path) -> None:
        """``local``: a directory of this machine alone, for its lock. Raises ``ConfigError``."""
        _trust(config.tls_ca)
        self.uri = config.uri.rstrip("/")
        place = urlsplit(self.uri)
        self._prefix = f"{place.path.strip('/')}/" if place.path.strip("/") else ""
        self._bucket = place.netloc
        self._http = Signed(self._bucket, config.endpoint, config.region, credentials, config.tls_ca)
        self.options: Mapping[str, str] | None = _options(config, credentials)
        self._hint = None if config.endpoint else _NO_ENDPOINT
        self._leases = Leases(self, local)
        self._local = local
        self._written: dict[str, str] = {}
        """Etags of what was written here."""

    @property
    def writer(self) -> str:
        return self._leases.session

    def lock(self) -> BucketLock:
        """Also removes what a writer that was killed had half uploaded: nobody can see it, and it takes room."""
        local = FileLock(self._local / LOCK, self.uri)
        try:
            lock = BucketLock(local, self._leases.take())
        except BaseException:
            local.release()
            raise
        self._give_up_uploads()
        return lock

    # --- Files ------------------------------------------------------------------------------------------------

    def sizes(self, below: str = "") -> dict[str, int]:
        return dict(self._listed(below))

    def holds(self, below: str) -> bool:
        return any(True for _ in self._listed(below))

    def tables(self) -> list[str]:
        """Empty directories, which some servers keep, do not count."""
        names = {name.partition("/")[0] for name, _ in self._listed("", delimiter="/")}
        return sorted(n.removesuffix(".lance") for n in names if n.endswith(".lance") and self.holds(f"{n}/"))

    def read(self, name: str) -> bytes | None:
        stored = self.get(name)
        return stored.content if stored else None

    def write(self, name: str, content: bytes, *, sync: bool = True) -> None:
        """Raises ``FatalError`` where somebody else wrote it meanwhile. Durable either way."""
        etag = self.put(name, content, only_if=self._written.get(name))
        if etag is None:
            stored = self.get(name)
            if stored is None or stored.content != content:  # else it was us: the answer was lost
                raise FatalError(f"somebody else writes to {self.uri}", "stop it: a lake has one writer")
            etag = stored.etag
        self._written[name] = etag

    def remove(self, name: str) -> None:
        for one in list(self.sizes(name)) if name.endswith("/") else [name]:
            self._written.pop(one, None)
            self._must(self._send("DELETE", one), f"removing {one}", 200, 204, 404)

    def move(self, name: str, to: str) -> None:
        moved = [(one, to + one.removeprefix(name)) for one in self.sizes(name)] if name.endswith("/") else [(name, to)]
        for source, target in moved:
            header = {"x-amz-copy-source": f"/{self._bucket}/{quote(self._prefix + source)}"}
            self._must(self._send("PUT", target, headers=header), f"moving {source}")
        for source, target in moved:
            self._written.pop(target, None)
            self.remove(source)

    def sync(self) -> int:
        """Nothing to do: what the server confirmed is durable."""
        return 0

    # --- objects --------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Stored | None:
        answer = self._send("GET", name)
        if answer.status == 404 and answer.code != "NoSuchBucket":
            return None
        self._must(answer, f"reading {name}")
        return Stored(answer.body, answer.etag)

    def put(self, name: str, content: bytes, *, only_if: str | None = None) -> str | None:
        """The new etag. ``only_if``: the etag that it must have now, "" if it must not be there; None is returned where
        that is not so. Servers that know no conditions write it all the same."""
        condition = {} if only_if is None else {"If-Match": f'"{only_if}"'} if only_if else {"If-None-Match": "*"}
        answer = self._send("PUT", name, headers=condition, body=content)
        if condition and answer.status in (404, 409, 412) and answer.code != "NoSuchBucket":
            return None
        self._must(answer, f"writing {name}")
        return answer.etag

    def _listed(self, below: str, delimiter: str = "") -> Iterator[tuple[str, int]]:
        """Names and sizes, page by page; with a delimiter also what ends with it, as a name without bytes."""
        query = {"list-type": "2", "prefix": self._prefix + below, "encoding-type": "url"}
        query |= {"delimiter": delimiter} if delimiter else {}
        while True:
            answer = self._send("GET", "", query, of_bucket_itself=True)
            self._must(answer, "listing the lake")
            page = _parsed(answer.body)
            for item in page.iterfind("Contents"):
                key = unquote(item.findtext("Key", ""))
                if not key.endswith("/"):
                    yield key.removeprefix(self._prefix), int(item.findtext("Size", "0"))
            for item in page.iterfind("CommonPrefixes"):
                yield unquote(item.findtext("Prefix", "")).removeprefix(self._prefix), 0
            token = page.findtext("NextContinuationToken", "")
            if page.findtext("IsTruncated") != "true" or not token:
                return
            query["continuation-token"] = token

    def _give_up_uploads(self) -> None:
        """As well as it goes: not every server tells of them."""
        with contextlib.suppress(LakeAway):
            query = {"uploads": "", "prefix": self._prefix}
            answer = self._send("GET", "", query, of_bucket_itself=True)
            for item in _parsed(answer.body).iterfind("Upload") if answer.status == 200 else ():
                name = item.findtext("Key", "").removeprefix(self._prefix)
                self._send("DELETE", name, {"uploadId": item.findtext("UploadId", "")})
                log.info("given up: a half upload of %s", name)

    def _send(
        self,
        method: str,
        name: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        of_bucket_itself: bool = False,
    ) -> Answer:
        try:
            return self._http.send(method, "" if of_bucket_itself else self._prefix + name, query, headers, body)
        except NoAnswer as exc:
            raise LakeAway(f"the server of the lake does not answer: {exc}", self._hint) from exc

    def _must(self, answer: Answer, doing: str, *good: int) -> None:
        if answer.status not in (good or (200,)):
            raise of_bucket(doing, answer.status, answer.code)


def _options(config: LakeConfig, credentials: Credentials) -> dict[str, str]:
    """For the S3 client inside Lance. Files are removed one by one: not every server answers for many as it should."""
    options = {
        "aws_region": config.region or "us-east-1",
        "aws_virtual_hosted_style_request": "false" if config.endpoint else "true",
        "aws_disable_bulk_delete": "true",
        "allow_http": "true" if config.endpoint.startswith("http://") else "false",
        "connect_timeout": "5s",
        "timeout": f"{REQUEST_S}s",
        "client_max_retries": "3",
        "client_retry_timeout": str(RETRY_S),
    }
    if config.endpoint:
        options["aws_endpoint"] = config.endpoint.rstrip("/")
    if credentials.are_given:
        keys = {"aws_access_key_id": credentials.access_key, "aws_secret_access_key": credentials.secret_key}
        return options | keys
    return options | {"aws_skip_signature": "true"}


def _trust(ca: str) -> None:
    """Lance has no option for a CA of one's own; what it is built on asks the environment. The system's stay."""
    if ca:
        os.environ["SSL_CERT_FILE"] = ca
        os.environ.setdefault("SSL_CERT_DIR", ssl.get_default_verify_paths().capath or _SYSTEM_CAS)


def _parsed(body: bytes) -> ET.Element:
    """An answer, without the name space that some servers leave out."""
    try:
        root = ET.fromstring(body)
    except ET.ParseError as exc:
        raise LakeAway("the server of the lake answers nonsense") from exc
    for item in root.iter():
        item.tag = item.tag.rpartition("}")[2]
    return root
