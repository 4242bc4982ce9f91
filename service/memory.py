"""Less memory: glibc's allocator asked to keep less, where there is one; a bound for what is not trusted with it."""

import ctypes
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ARENAS = 2  # instead of eight a core: each keeps what its threads have freed, and a picture's pixels are megabytes
LARGE = 4 * 2**20  # bytes that are given back as soon as they are free; else the threshold grows with what is freed
M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -8, -3, -1  # malloc.h


def keep_little() -> None:
    """Before threads are started."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_ARENA_MAX, ARENAS)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * LARGE)


def no_dumps() -> None:
    """Of a crash: uploads would be in it. 1 and not 0, which does not stop those that go to a program (core(5))."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (min(1, hard) if hard != resource.RLIM_INFINITY else 1, hard))


def trim() -> None:
    """Gives back what loading has freed: it would be kept, once more the size of the graph."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def bounded(size: int | None) -> Iterator[None]:
    """So many bytes more of its own may the process take inside; what needs more fails (RLIMIT_DATA, setrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if size is not None:
        most = taken() + size
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def taken() -> int:
    """Bytes that the process has of its own, as RLIMIT_DATA counts them: private pages that may be written."""
    return status("VmData")


def mapped() -> int:
    """Bytes of address space, as RLIMIT_AS counts them."""
    return status("VmSize")


def status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
