"""``python -m llmtrain_operator.probe URL``: wait until an operator answers there that it is ready."""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request

SECONDS = 60.0
PAUSE_SECONDS = 1.0
ANSWER_SECONDS = 5.0
OWN_SERIES = "llmtrain_operator_leader"
"""What no other server has."""


def wait_until_ready(url: str, seconds: float = SECONDS) -> str | None:
    """Ask until it is ready; why it is not, or None.

    Args:
        url: of the operator's plain port.
        seconds: how long it is asked.
    """
    until = time.monotonic() + seconds
    while (why := _refusal(url)) is not None and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
    return why


def _refusal(url: str) -> str | None:
    try:
        _read(f"{url}/readyz")
        ours = OWN_SERIES in _read(f"{url}/metrics")
    except urllib.error.HTTPError as error:
        with error:
            return f"{url} answers {error.code}: {error.read(200).decode(errors='replace')}"
    except OSError as error:
        return f"{url} does not answer: {error}"
    return None if ours else f"{url} is no operator of training jobs"


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:
        found: bytes = answer.read()
    return found.decode()


def main(argv: list[str]) -> int:
    """0 once it is ready; 1 with the reason."""
    if len(argv) != 1:
        print("usage: python -m llmtrain_operator.probe URL", file=sys.stderr)
        return 2
    why = wait_until_ready(argv[0].rstrip("/"))
    print(f"ready: {argv[0]}" if why is None else f"not ready: {why}")
    return 0 if why is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
