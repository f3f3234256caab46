"""Tasks as those see them who wait for them.

* `asyncresult`, `mapresult`: the promise of a call, of a map; `executereply`: what `execute` gives;
* `futures`: the Future beneath; `batches`: tasks of several submits as one;
* `watching`: progress, times and outputs while one waits; `live`, `streaming`: outputs read, and shown;
* `metadata`: what is known of a task beside its result; `msg_ids`: what tasks are called;
* `history`: which tasks a client or a view has submitted.

Who may use it: views and the client make results, users hold them. It submits nothing.
"""
