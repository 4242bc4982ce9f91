"""glibc's allocator, asked to keep less. Does nothing where there is another one."""

import ctypes
from contextlib import suppress

ARENAS = 2  # instead of eight a core: each keeps what its threads have freed, and a picture's pixels are megabytes
M_ARENA_MAX = -8  # malloc.h


def few_arenas() -> None:
    """Before threads are started."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Gives back what loading has freed: it would be kept, once more the size of the graph."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
