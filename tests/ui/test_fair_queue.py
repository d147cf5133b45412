"""FairQueue are taken in the order of coming, a step at a time, and given back whatever happens."""

from queue import Queue
from threading import Thread

import pytest

from segmentation.errors import BusyError
from segmentation.ui.fair_queue import FairQueue


def test_steps_are_taken_in_rounds() -> None:
    turns, steps, queued = FairQueue(5), Queue(), Queue()

    def work(name: str) -> None:
        with turns.taken(queued.put) as pass_on:
            for _ in range(3):
                steps.put(name)
                pass_on()

    with turns.taken(lambda ahead: None):
        threads = []
        for place, name in enumerate("abc", 1):
            threads.append(Thread(target=work, args=(name,)))
            threads[-1].start()
            while queued.get() != place:  # it says so once it is in the queue
                pass
    for thread in threads:
        thread.join()
    assert "".join(steps.queue) == "abcabcabc"


def test_one_alone_goes_on_at_once() -> None:
    def never(ahead: int) -> None:
        raise AssertionError

    with FairQueue(1).taken(never) as pass_on:
        pass_on()
        pass_on()


def test_who_gives_up_waiting_leaves_the_queue() -> None:
    turns, told = FairQueue(2), []

    def give_up(ahead: int) -> None:
        told.append(ahead)
        raise KeyboardInterrupt

    with turns.taken(told.append):
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt), turns.taken(give_up):
                pass
    assert told == [1, 1, 1]
    with turns.taken(give_up):
        pass


def test_too_many_are_refused() -> None:
    turns = FairQueue(1)
    with (
        turns.taken(lambda ahead: None),
        pytest.raises(BusyError, match=r"^1 predictions are under way on this server: try again in a minute\.$"),
        turns.taken(lambda ahead: None),
    ):
        pass
    with turns.taken(lambda ahead: None):
        pass
