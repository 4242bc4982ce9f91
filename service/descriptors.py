"""File descriptors: how many connections this process can hold open beside its own files."""

import resource

OWN = 128  # descriptors of a worker without connections: libraries, sockets, bundles being loaded, a few probes
FEW, PART = 32, 8  # connections above the limit, and others that are about to end: so many, or one in so many if more


def enough(connections: int) -> int:
    """Raises the soft limit as far as `connections` need it; returns how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 2 * connections // PART + OWN
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, (soft - OWN) * PART // (PART + 2))
    return connections


def reserve(connections: int) -> int:
    """How many there may be above that limit, for probes, and once more how many that are about to end."""
    return max(FEW, connections // PART)
