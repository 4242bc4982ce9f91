"""Exit code 0 if the server in this container is ready. For HEALTHCHECK: the image has no curl."""

import http.client
import os
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("BRAID_PORT", "8000")), timeout=2)
try:
    connection.request("GET", "/health/ready")
    ready = connection.getresponse().status == 200
except OSError:
    ready = False
sys.exit(not ready)
