"""Python's interpreter lock, which one thread holds at a time."""

import sys

# Python lets a thread keep it for 5 ms once others wait, which is longer than a GPU takes for eight pictures. With this
# one process on an H200 answers 1.12 to 1.17 times as many requests of 32 clients, and a lone client's 0.2 to 0.4 ms
# sooner. With a hundredth of a millisecond threads do little but take turns (docs/performance.md).
_HELD_S = 0.0001


def pass_it_on_sooner() -> None:
    """From now on a thread that waits for the lock, as the event loop does after each write, has it soon.

    For a process that is the service's alone, beside a GPU: on two cores, which the network takes as well, it gains
    little, and a lone client waits half a millisecond longer.
    """
    sys.setswitchinterval(_HELD_S)
