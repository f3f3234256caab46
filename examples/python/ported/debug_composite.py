"""Errors on many engines: what arrives, what it prints, and how to find the engine that is to blame.

The session of somebody who debugs: the same mistake everywhere, then one engine with bad data, its
traceback, a look into its namespace, the repair, and the call again.

    python examples/python/ported/debug_composite.py
"""

import contextlib
import io

import phalanx as ipp


def normalize(weights):
    """Weights that add up to one."""
    total = sum(weights)
    return [weight / total for weight in weights]


def printed(print_it, *args):
    """What a call prints to standard output or standard error."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        print_it(*args)
    return out.getvalue()


def main():
    """Provokes the errors and checks every step of the way to them."""
    with ipp.Cluster(n=4) as rc:
        dview = rc[:]
        dview.block = True

        # The same mistake on each engine is one exception with four in it.
        try:
            dview.execute("1/0")
        except ipp.CompositeError as e:
            assert repr(e) == "CompositeError(4)"
            assert len(e.elist) == 4
            assert [info["engine_id"] for _, _, _, info in e.elist] == rc.ids
            assert {ename for ename, _, _, _ in e.elist} == {"ZeroDivisionError"}
            text = printed(e.print_traceback)
            assert "[0:execute]" in text and "ZeroDivisionError" in text
            print(str(e).splitlines()[1])
            # One of the originals can be raised by itself.
            try:
                e.raise_exception()
            except ipp.RemoteError as original:
                assert original.ename == "ZeroDivisionError"
                assert original.engine_info["engine_id"] == 0
        else:
            raise AssertionError("1/0 passed")

        # Data that are bad on one engine only.
        for view, weights in zip(rc, [[1, 3], [2, 2], [1, -1], [5, 5]], strict=True):
            view["weights"] = weights
        ar = dview.apply_async(normalize, ipp.Reference("weights"))
        ar.wait(30)
        assert ar.ready() and not ar.successful()

        # All results, with the errors in their places.
        results = ar.get(return_exceptions=True)
        bad = [i for i, result in enumerate(results) if isinstance(result, Exception)]
        assert bad == [2], results
        assert results[0] == [0.25, 0.75]
        error = results[2]
        assert isinstance(error, ipp.RemoteError)
        engine = error.engine_info["engine_id"]
        print(f"engine {engine} failed: {error}")
        traceback = "\n".join(error.render_traceback())
        assert "return [weight / total for weight in weights]" in traceback

        # A look at what it has: names in its namespace, and an expression.
        assert rc[engine]["weights"] == [1, -1]
        assert rc[engine].apply_sync(sum, ipp.Reference("weights")) == 0

        # Repaired, the call goes through, and the namespaces of the others were not touched.
        rc[engine].execute("weights = [abs(w) for w in weights]", block=True)
        assert dview.apply_sync(normalize, ipp.Reference("weights")) == [
            [0.25, 0.75],
            [0.5, 0.5],
            [0.5, 0.5],
            [0.5, 0.5],
        ]
        print("repaired, and run again")

        # With a hundred engines nobody wants a hundred tracebacks.
        limit, ipp.CompositeError.tb_limit = ipp.CompositeError.tb_limit, 1
        try:
            dview.execute("[1, 2][engine_number]")
        except ipp.CompositeError as e:
            text = printed(e.print_traceback)
            assert text.count("Traceback (most recent call last)") == 1
            assert "NameError" in text
        finally:
            ipp.CompositeError.tb_limit = limit

        # A task has metadata whatever became of it.
        assert [info["status"] for info in ar.metadata] == ["ok", "ok", "error", "ok"]


if __name__ == "__main__":
    main()
