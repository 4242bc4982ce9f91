"""File descriptors: how many connections this process can hold open beside its own files."""

import resource

OWN = 128  # descriptors of a worker without connections: libraries, sockets, bundles being loaded, a few probes
MORE = 4  # beside so many connections there is one more: a probe's above the limit, or one that is about to end


def enough(connections: int) -> int:
    """Raises the soft limit as far as `connections` need it; returns how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + connections // MORE + OWN
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, (soft - OWN) * MORE // (MORE + 1))
    return connections
