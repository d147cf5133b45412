"""Predictions of all sessions take turns, a batch at a time, in the order of their coming (no Streamlit).

Side by side they would be no faster on the same cores, and a patch would wait for somebody's orthophoto.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from segmentation.errors import BusyError

SECONDS = 0.5
"""How often one who waits is told how many are ahead."""


class FairQueue:
    """A queue that is worked off in rounds.

    Args:
        most: How many may be in it; the next is refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[object] = deque()
        self._moved = Condition()

    @contextmanager
    def taken(self, waiting: Callable[[int], None]) -> Iterator[Callable[[], None]]:
        """Wait for a turn, and yield a function that lets all others have theirs and waits for the next.

        Args:
            waiting: Called with how many are ahead, again and again; what it raises ends the wait.

        Raises:
            BusyError: If too many wait already.
        """
        me = object()
        with self._moved:
            if len(self._queue) >= self._most:
                raise BusyError(f"{self._most} predictions are under way on this server: try again in a minute.")
            self._queue.append(me)

        def pass_on() -> None:
            with self._moved:
                self._queue.rotate(-1)  # whoever has the turn is the first
                self._moved.notify_all()
            self._wait(me, waiting)

        try:
            self._wait(me, waiting)
            yield pass_on
        finally:
            with self._moved:
                self._queue.remove(me)
                self._moved.notify_all()

    def _wait(self, me: object, waiting: Callable[[int], None]) -> None:
        while True:
            with self._moved:
                ahead = self._queue.index(me)
            if not ahead:
                return
            waiting(ahead)
            with self._moved:
                self._moved.wait_for(lambda: self._queue[0] is me, timeout=SECONDS)
