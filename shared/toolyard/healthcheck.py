"""`python -m toolyard.healthcheck`: whether the process of this container takes work; exit code 1 if it does not.

The health check of the images. It is run every few seconds, so it loads a part of the standard library, and no more.
"""

import http.client
import os
import sys
from urllib.parse import urlsplit

#: Seconds that the process has for its answer: less than a health check may take.
_PATIENCE = 4.0


def here() -> str:
    """The address of this machine at which a part with the settings of the environment listens."""
    host = os.environ.get("TOOLYARD_HOST") or "127.0.0.1"
    if host in ("0.0.0.0", "::"):  # noqa: S104 - listening everywhere includes here
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{os.environ.get('TOOLYARD_PORT') or '8080'}"


def main() -> int:
    """Ask `/readyz`, and print its answer: an engine keeps it beside the health of the container. The exit code."""
    try:
        address = urlsplit(here())
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_PATIENCE)
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        told = answer.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"nothing answers at {here()}/readyz: {error}", file=sys.stderr)
        return 1
    print(told)
    return 0 if answer.status == http.HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
