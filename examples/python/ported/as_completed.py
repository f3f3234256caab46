"""Primes by futures: results as they are completed, first ones first, with executors and timeouts.

An AsyncResult is a `concurrent.futures.Future`: the standard library's tools take it, and callbacks
are called with it.

    python examples/python/ported/as_completed.py
"""

import concurrent.futures
import threading
import time

import phalanx as ipp


def count_primes(start, stop):
    """Primes in a range, by trial division."""
    found = 0
    for n in range(max(start, 2), stop):
        for d in range(2, int(n**0.5) + 1):
            if n % d == 0:
                break
        else:
            found += 1
    return found


def main():
    """The same count four times, by four ways of waiting."""
    blocks = [(i * 2500, (i + 1) * 2500) for i in range(12)]
    with ipp.Cluster(n=2) as rc:
        lview = rc.load_balanced_view()

        # 1. In the order in which they are completed, with a callback on each.
        called, all_called = [], threading.Event()

        def note(future):
            called.append(future.result())
            if len(called) == len(blocks):
                all_called.set()

        futures = {lview.apply_async(count_primes, *block): block for block in blocks}
        for future in futures:
            future.add_done_callback(note)
        total = 0
        for future in concurrent.futures.as_completed(futures, timeout=60):
            total += future.result()
        assert all_called.wait(30) and sum(called) == total
        print(f"{total} primes below {blocks[-1][1]}")

        # 2. The first of several.
        slow = rc[0].apply_async(time.sleep, 30)
        quick = rc[1].apply_async(lambda: "quick")
        done, pending = concurrent.futures.wait(
            [slow, quick], timeout=30, return_when=ipp.FIRST_COMPLETED
        )
        assert done == {quick} and pending == {slow}
        try:
            slow.get(timeout=0.01)
        except ipp.TimeoutError as error:
            print(f"slow: {error}")
        # An interrupted sleep and a queued task end as aborted.
        slow.abort()
        try:
            slow.get(timeout=30)
        except ipp.TaskAborted:
            pass
        else:
            raise AssertionError("it slept on")

        # 3. An executor, as the standard library's.
        with lview.executor as executor:
            handed_in = [executor.submit(count_primes, *block) for block in blocks[:3]]
            mapped = list(executor.map(lambda n: n**2, range(10)))
        assert [future.result() for future in handed_in] == [count_primes(*b) for b in blocks[:3]]
        assert mapped == [n**2 for n in range(10)]

        # 4. A map whose results are gone through while others still run, and its times.
        ar = lview.map_async(count_primes, *zip(*blocks, strict=True), ordered=False)
        ar.wait_interactive(interval=0.05, timeout=60)
        assert sum(ar) == total
        assert ar.progress == len(blocks)
        assert ar.serial_time > 0 and 0 < ar.wall_time <= ar.elapsed + 1
        # Endless input, of which only what is asked for is computed.
        lazy = lview.imap(lambda n: n * n, iter(int, 1), max_outstanding=4)
        assert [next(lazy) for _ in range(5)] == [0] * 5
        lazy.cancel()
        rc.wait(timeout=30)
        print(f"{ar.serial_time:.2f} s of work in {ar.wall_time:.2f} s")


if __name__ == "__main__":
    main()
