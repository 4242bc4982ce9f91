"""A queue in which the owners of what waits are served in turn, and what one owner has, in its order."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Owned(Protocol):
    @property
    def owner(self) -> str | None: ...


T = TypeVar("T", bound=Owned)


class Turns(Generic[T]):
    """As far as it goes, a deque."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str | None, deque[T]] = OrderedDict()  # none of them empty; whose turn it is, first
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        for line in self._lines.values():
            yield from line

    def append(self, item: T) -> None:
        line = self._lines.get(item.owner)
        if line is None:
            line = self._lines[item.owner] = deque()
        line.append(item)
        self._count += 1

    def popleft(self) -> T:
        """Raises IndexError."""
        if not self._lines:
            raise IndexError("nothing waits")
        owner, line = next(iter(self._lines.items()))
        self._count -= 1
        item = line.popleft()
        if line:
            self._lines.move_to_end(owner)
        else:
            del self._lines[owner]
        return item

    def remove(self, item: T) -> None:
        """Raises ValueError where it is not."""
        line = self._lines.get(item.owner)
        if line is None or item not in line:
            raise ValueError("not in the queue")
        line.remove(item)
        self._count -= 1
        if not line:
            del self._lines[item.owner]
