"""Waiting for something to become true, with a limit. The only place where tests wait for time to pass."""
import threading
import time


def until(probe, what, seconds=20.0, every=0.02):
    """Calls `probe` until it returns something true, which is returned. Fails the test after `seconds`."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:g} s still not: {what} (last: {value!r})")
        pause.wait(every)
