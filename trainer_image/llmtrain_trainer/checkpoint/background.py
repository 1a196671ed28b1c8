"""One piece of a rank's work beside training, and what is agreed about it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Work:
    """Runs in a thread at once, or in the caller's. A process that ends does not wait for it."""

    def __init__(self, work: Callable[[], None], *, background: bool) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
            self._thread.start()
        else:
            self._run()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # raised again in the caller's thread
            self._error = error

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._thread is None or not self._thread.is_alive()

    def wait(self) -> None:
        """Until it has ended."""
        if self._thread:
            self._thread.join()

    def failure(self) -> OSError | None:
        """Why the disk refused, if it did and the work is done.

        Raises:
            BaseException: any other error of the work.
        """
        if not self.done or self._error is None:
            return None
        if isinstance(self._error, OSError):
            return self._error
        raise self._error
