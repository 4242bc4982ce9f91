"""How much a model holds at once: requests, bytes, seconds of waiting, a key's share. Beyond that, 429."""

import math
import time
from collections.abc import Callable

from service.errors import QueueFull

MOST = 60  # seconds; a longer Retry-After helps nobody
SPAN = 1.0  # seconds of work; the last two of them are the observed rate
HASTE = 0.25  # seconds; who has less time left is told 504 just as soon
UPLOAD = 1.0  # seconds for which a place is kept while a body is on its way: slow ones must not keep others out


class Pace:
    """Seconds from one answer to the next when there is more to do than can be done.

    What is `expected` counts as if it had been seen for a while: one answer that came late, as beside the calibration,
    says little.
    """

    def __init__(self, expected: float = 0.0) -> None:
        self.interval = expected
        self._before = (SPAN / expected, SPAN) if expected else (0.0, 0.0)  # answers and seconds
        self._answers, self._seconds = 0, 0.0

    def answered(self, seconds: float, *, full: bool = True) -> None:
        """`seconds` of work after the answer before. With less to do the pace can only be better than it looks."""
        self._answers += 1
        self._seconds += seconds
        answers, span = self._before
        seen = (span + self._seconds) / (answers + self._answers)
        if full or seen < self.interval:
            self.interval = seen
        if self._seconds >= SPAN:
            self._before = self._answers, self._seconds
            self._answers, self._seconds = 0, 0.0


class Admission:
    """Places are held from a request's head to its answer, so that reading, decoding and queueing are all bounded."""

    def __init__(self, items: int, size: int, wait: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self.items = 0
        self.bytes = 0
        self.floor = 1  # requests that are never too many
        self.full = 1  # requests that keep the engine as busy as it can be: what runs, and the next batch
        self.pace = Pace()
        self.reading: dict[Place, float] = {}  # those whose bodies come in pieces, and since when; the oldest first
        self.clock = clock
        self._most_items, self._most_bytes, self._wait = items, size, wait
        self._patient = 0  # of the items, those that nobody waits for
        self._keys: dict[str, int] = {}  # items of each
        self._working = 0  # those whose bodies are there, without the patient
        self._busy = False  # as busy as can be, since they were so many
        self._last = 0.0  # when there was an answer, or work again

    def hold(self, size: int, *, deadline: float = math.inf, key: str | None = None, patient: bool = False) -> "Place":
        """For a request whose body is announced to have `size` bytes (0: it is not). Raises QueueFull.

        `patient` ones run while nobody else waits. A `key` cannot hold more than it leaves free for all others.
        """
        if self.reading and self._full(size, key, patient=patient):
            self._expel()
        if why := self._full(size, key, patient=patient) or self._late(deadline, key):
            raise why
        return Place(self, size, key, patient=patient)

    def retry_after(self) -> int:
        """Whole seconds until what is held now is answered, at the observed rate."""
        return min(MOST, max(1, math.ceil((self.items - self._patient) * self.pace.interval)))

    def _full(self, size: int, key: str | None, *, patient: bool) -> QueueFull | None:
        if self.items >= self._most_items or (self.items and self.bytes + size > self._most_bytes):
            return self.refusal("the queue is full", self._most_items)
        most, others, interval = self._most_items, self.items - self._patient, self.pace.interval
        if interval and not patient:
            most = min(most, max(self.floor, int(self._wait / interval)))
        if key is not None and (own := self._keys.get(key, 0)) and own >= most - others:
            return self.refusal("this key holds its share of the queue", own)
        if key is None and others >= most and not patient:
            return self.refusal("the wait would be too long, in seconds", self._wait)
        return None

    def _late(self, deadline: float, key: str | None) -> QueueFull | None:
        """Who has a key and few requests has few before it: the keys are served in turn."""
        ahead = self._working if key is None else min(self._working, self._keys.get(key, 0) * len(self._keys))
        wait = ahead * self.pace.interval
        if wait > HASTE and wait > (left := deadline - self.clock()) > HASTE:
            return self.refusal("the wait would be longer than this request has time, in seconds", round(left, 3))
        return None

    def _expel(self) -> None:
        """Who has been sending its body for a while gets a place again when it is there, if there is one."""
        now = self.clock()
        for place in [place for place, since in self.reading.items() if now - since > UPLOAD]:
            place.give_up()

    def refusal(self, detail: str, limit: float) -> QueueFull:
        return QueueFull(detail, limit=limit, retry_after=self.retry_after())

    # -- from the places ----------------------------------------------------------------------------------------------

    def count(self, step: int, key: str | None, *, patient: bool) -> None:
        self.items += step
        if patient:
            self._patient += step
        if key is not None:
            self._keys[key] = self._keys.get(key, 0) + step
            if not self._keys[key]:
                del self._keys[key]

    def grow(self, size: int) -> None:
        """By bytes that nobody has announced. Raises QueueFull."""
        if self.items > 1 and self.bytes + size > self._most_bytes:
            raise self.refusal("the queue is full, in bytes", self._most_bytes)
        self.bytes += size

    def again(self, key: str | None, *, patient: bool) -> None:
        """For one that has given its place up. Raises QueueFull."""
        if why := self._full(0, key, patient=patient):
            raise why
        self.count(1, key, patient=patient)

    def begin(self) -> None:
        if not self._working:
            self._last = self.clock()
        self._working += 1
        self._busy = self._busy or self._working >= self.full

    def end(self) -> None:
        now = self.clock()
        self.pace.answered(now - self._last, full=self._busy)
        self._last = now
        self._working -= 1
        self._busy = self._busy and 2 * self._working >= self.full


class Place:
    """Of one request, until the `with` ends."""

    __slots__ = ("_admission", "_held", "_key", "_patient", "_size", "_there", "_works")

    def __init__(self, admission: Admission, size: int, key: str | None, *, patient: bool) -> None:
        self._admission, self._key, self._patient = admission, key, patient
        self._size = size  # bytes that are counted
        self._there = 0  # bytes that are there
        self._held, self._works = True, False
        admission.count(1, key, patient=patient)
        admission.bytes += size

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *error: object) -> None:
        admission = self._admission
        if self._works:
            admission.end()
        else:
            admission.reading.pop(self, None)
        admission.bytes -= self._size
        if self._held:
            admission.count(-1, self._key, patient=self._patient)

    def grow(self, size: int) -> None:
        """A piece of the body came, and there will be more. Raises QueueFull."""
        if self._held and self not in self._admission.reading:
            self._admission.reading[self] = self._admission.clock()
        self._there += size
        if self._there > self._size:
            self._admission.grow(self._there - self._size)
            self._size = self._there

    def whole(self, size: int) -> None:
        """The body is there. Raises QueueFull."""
        admission = self._admission
        if size > self._size:
            admission.grow(size - self._size)
            self._size = size
        if self._there:
            admission.reading.pop(self, None)
        if not self._held:
            admission.again(self._key, patient=self._patient)
            self._held = True
        if not self._patient:
            self._works = True
            admission.begin()

    def give_up(self) -> None:
        admission = self._admission
        del admission.reading[self]
        admission.count(-1, self._key, patient=self._patient)
        admission.bytes -= self._size - self._there
        self._held, self._size = False, self._there
