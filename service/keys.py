"""The file of API keys: a key to its name, its right and its rate. The file holds hashes, never keys."""

import hashlib
import hmac
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from service.errors import SettingsError
from service.logs import Log
from service.settings import Settings

LOOK = 1.0  # seconds between two looks at the file
PREFIX = "braid_"  # so that scanners of source code find a key that was committed
ALGORITHMS = {
    64: "sha256",
    96: "sha384",
    128: "sha512",
}  # by digits; a key is 256 random bits: nothing slower is needed
LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9a-fA-F]+)(?::([0-9.]*))?(?::(manage)?)?")


@dataclass(slots=True)
class Key:
    """`rate` is requests a second in each worker, of which one second's worth may come at once."""

    name: str
    digest: bytes
    algorithm: str
    rate: float | None = None
    manage: bool = False
    tokens: float = field(default=0.0, compare=False)
    seen: float = field(default=float("-inf"), compare=False)  # of time.monotonic

    def wait(self) -> float:
        """Takes a token and returns 0, or the seconds until there is one."""
        if self.rate is None:
            return 0.0
        now = time.monotonic()
        self.tokens = min(max(1.0, self.rate), self.tokens + (now - self.seen) * self.rate)
        self.seen = now
        if self.tokens < 1:
            return (1 - self.tokens) / self.rate
        self.tokens -= 1
        return 0.0


class Keys:
    """Follows the file: what is written there holds after a second. A file with a mistake changes nothing."""

    def __init__(self, file: Path, log: Log) -> None:
        """Raises SettingsError."""
        self._file, self._log = file, log
        self._mark = mark(file)
        self._keys = read(file)
        self._look = time.monotonic() + LOOK

    def find(self, given: bytes) -> Key | None:
        """Compares with every key, each in constant time."""
        if time.monotonic() >= self._look:
            self._follow()
        digests = {name: hashlib.new(name, given).digest() for name in {key.algorithm for key in self._keys}}
        found = None
        for key in self._keys:
            if hmac.compare_digest(digests[key.algorithm], key.digest):
                found = key
        return found

    def _follow(self) -> None:
        self._look = time.monotonic() + LOOK
        if (now := mark(self._file)) == self._mark:
            return
        self._mark = now
        try:
            fresh = read(self._file)
        except SettingsError as error:
            self._log.warning("keys not reloaded", {"error": str(error)})
            return
        before = {key.name: key for key in self._keys}
        self._keys = [before[key.name] if before.get(key.name) == key else key for key in fresh]  # tokens stay used
        self._log.info("keys reloaded", {"keys": [key.name for key in fresh]})


def check(settings: Settings) -> None:
    """At the start. Raises SettingsError."""
    if settings.keys:
        read(settings.keys)
    elif settings.manage:
        raise SettingsError("BRAID_MANAGE: only a key may manage models; set BRAID_KEYS (`braid key NAME --manage`)")


def mark(file: Path) -> tuple[int, ...]:
    """Changes with the file."""
    try:
        about = file.stat()
    except OSError:
        return ()
    return about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino


def read(file: Path) -> list[Key]:
    """Lines `name:hash[:rate[:manage]]`; empty ones and comments (#) are passed over. Raises SettingsError."""
    private(file)
    keys: list[Key] = []
    for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key = parse(line.strip())
        if key is None:
            raise SettingsError(f"{file}: line {number} is not name:hash[:rate[:manage]]; `braid key NAME` makes one")
        if any(key.name == other.name for other in keys):
            raise SettingsError(f"{file}: line {number}: the name {key.name} stands twice")
        keys.append(key)
    if not keys:
        raise SettingsError(f"{file}: no key in it; `braid key NAME` makes one")
    return keys


def parse(line: str) -> Key | None:
    match = LINE.fullmatch(line)
    if match is None or len(match[2]) not in ALGORITHMS:
        return None
    try:
        rate = float(match[3]) if match[3] else None
    except ValueError:
        return None
    if rate is not None and rate <= 0:
        return None
    return Key(match[1], bytes.fromhex(match[2]), ALGORITHMS[len(match[2])], rate, match[4] is not None)


def private(file: Path) -> None:
    """Raises SettingsError if anybody on this machine may read or change the file."""
    try:
        mode = file.stat().st_mode
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise SettingsError(f"{file}: not a file")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise SettingsError(f"{file}: every user of this machine may read or change it; try: chmod 600 {file}")
    try:
        file.open("rb").close()
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error


def make(name: str, rate: float | None, *, manage: bool) -> tuple[str, str]:
    """A new key, and its line for the file. Raises SettingsError."""
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"
    if rate is not None or manage:
        line += f":{'' if rate is None else f'{rate:g}'}"
    if manage:
        line += ":manage"
    if parse(line) is None:
        raise SettingsError(f"{name!r}: a name is letters, digits, '.', '_' and '-', a rate a positive number")
    return key, line
