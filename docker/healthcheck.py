"""Exit code 0 if the server in this container is ready. For HEALTHCHECK: the image has no curl."""

import http.client
import os
import ssl
import sys

address = "127.0.0.1", int(os.environ.get("BRAID_PORT", "8000"))
connection = http.client.HTTPConnection(*address, timeout=2)
if os.environ.get("BRAID_TLS_CERT"):  # to itself: the name in the certificate is another
    connection = http.client.HTTPSConnection(*address, timeout=2, context=ssl._create_unverified_context())
try:
    connection.request("GET", "/health/ready")
    ready = connection.getresponse().status == 200
except OSError:
    ready = False
sys.exit(not ready)
