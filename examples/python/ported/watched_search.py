"""A search that is watched while it runs: published data, output so far, progress, labels, a broadcast.

What a notebook shows of long tasks: where they are, what they have printed by now, and which of them is the
best as soon as it is known. Two of the tasks are not wanted any more then, and are aborted.

    python examples/python/ported/watched_search.py
"""

import contextlib
import io
import time

import phalanx as ipp

TARGET = 2.0


def newton(start, steps, pause):
    """The square root of `TARGET` from a start; tells of each step."""
    import time

    from phalanx.datapub import publish_data

    x = start
    for step in range(steps):
        x = (x + TARGET / x) / 2
        print(f"step {step}: {x:.6f}")
        publish_data({"step": step, "x": x})
        time.sleep(pause)
    return x


def until(condition, seconds=30):
    """Waits for something to be seen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it was not seen in time"
        time.sleep(0.01)


def main():
    """Starts four searches, watches them, and checks what was seen."""
    with ipp.Cluster(n=2) as rc:
        everywhere = rc.broadcast_view()
        everywhere.block = True
        everywhere.push({"TARGET": TARGET})
        assert everywhere.pull("TARGET") == [TARGET] * 2

        lview = rc.load_balanced_view()
        one = rc[1]
        quick = lview.set_flags(label="quick").apply_async(newton, 1.0, 6, 0.01)
        slow = one.set_flags(label="slow").apply_async(newton, 100.0, 200, 0.1)
        lview.set_flags(label=None)
        assert quick.get(timeout=30) - TARGET**0.5 < 1e-6
        assert quick.data == {"step": 5, "x": quick.get()}
        assert (quick.metadata.label, slow.metadata.label) == ("quick", "slow")
        assert quick.stdout.splitlines()[-1] == "step 5: 1.414214"

        # The other one runs: what it has written and published is there to look at.
        until(lambda: slow.data.get("step", -1) >= 1)
        until(lambda: "step 1: " in slow.stdout)
        assert slow.stdout.startswith("step 0: 50.010000\n")
        assert not slow.ready() and slow.elapsed > 0
        assert slow.metadata.completed is None
        assert slow.metadata.status is None

        # Tasks behind it never start.
        behind = [one.apply_async(newton, 1.0, 1, 0) for _ in range(2)]
        rc.abort(behind)
        assert slow.engine_id == 1
        rc.send_signal("SIGINT", targets=slow.engine_id)
        try:
            slow.get(timeout=30)
        except ipp.RemoteError as e:
            assert e.ename == "KeyboardInterrupt"
        else:
            raise AssertionError("it was interrupted")
        for ar in behind:
            try:
                ar.get(timeout=30)
            except ipp.error.TaskAborted:
                continue
            raise AssertionError("it was aborted")

        # Output as it comes, each line with its engine before it.
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            ar = rc[:].apply_async(newton, 2.0, 2, 0.05)
            with ar.stream_output():
                ar.wait(timeout=30)
        assert out.getvalue().count("[stdout:0]") >= 1 and "step 1: 1.416667" in out.getvalue()

        # Progress counts items, and the bar ends when all are done.
        ar = lview.map_async(lambda x: x * x, range(50), chunksize=5)
        assert ar.wait_interactive(interval=0.05, timeout=30) in (None, True)
        assert (ar.progress, len(ar)) == (50, 50) or ar.progress == len(ar)
        assert ar.get() == [x * x for x in range(50)]
        assert ar.serial_time <= 2 * ar.wall_time + 1
        print("searched, watched, and stopped")


if __name__ == "__main__":
    main()
