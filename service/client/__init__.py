"""A typed client of a Braid server, synchronous and not: `pip install 'braid[client]'`.

    from service.client import Client

    with Client("http://127.0.0.1:8000") as braid:
        print(braid.predict(text="my answer is seven", image="seven.png").label)

Pictures may be paths, bytes, PIL images or arrays; sounds paths, bytes or (rate, samples). What the server refuses is
raised as `Refused`; 429 and 503 are tried again after the seconds that it names, until the call's deadline.
"""

from service.client.aio import AsyncClient
from service.client.answers import Answer, BraidError, Refused, Unreachable
from service.client.sync import Client

__all__ = ["Answer", "AsyncClient", "BraidError", "Client", "Refused", "Unreachable"]
