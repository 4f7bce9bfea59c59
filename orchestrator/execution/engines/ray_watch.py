"""Notices that Ray is gone: a head that does not listen, and a call into Ray that does not return.

Without the GCS (its central process) Ray's C++ waits for a minute, then ends the process without a
word to the user. For a process of Ray's that is stopped instead of dead it waits without a limit.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from orchestrator.execution.terminal import FIXABLE

LONGEST_CALL_S = 180
"""Far above what Ray needs on a busy machine: a start, with a second try, takes a minute or two."""
LOOK_EVERY_S = 1
CONNECT_S = 3.0


def is_dead(address: str) -> bool:
    """Whether the machine at `ip:port` says that nothing listens there; a cut link says nothing."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


class Watch:
    """Ends this process if a call into Ray takes longer than `LONGEST_CALL_S`.

    Nothing else can: neither a signal nor an exception arrives where Ray waits in C++. To the next
    launch it is a launch that was killed: finished cells are kept, open attempts are ended.

    Args:
        last: Is called before.
    """

    def __init__(self, last: Callable[[], object]) -> None:
        self._last, self._inside, self._looks = last, False, 0
        self._closed = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    @contextmanager
    def over(self) -> Iterator[None]:
        """The block makes one call into Ray, or a few."""
        self._looks, self._inside = 0, True
        try:
            yield
        finally:
            self._inside = False

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            # looks are counted, not seconds of a clock: a process that was stopped did not wait
            self._looks += self._inside
            if self._looks * LOOK_EVERY_S > LONGEST_CALL_S:
                with suppress(OSError):
                    text = f"error: Ray has not answered for {LONGEST_CALL_S} s; finished cells "
                    text += "are kept; launch again, on a cluster after: rho-sweep cluster up\n"
                    os.write(sys.stderr.fileno(), text.encode())
                with suppress(Exception):
                    self._last()
                os._exit(FIXABLE)
