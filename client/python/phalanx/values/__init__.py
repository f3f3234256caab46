"""How values travel: arguments, functions, results, and what makes up a task's output.

* `packing`: a value as parts, a pickle and its large buffers beside it; functions, packed once;
* `functions`, `sources`: functions by value, and their source for tracebacks;
* `pickling`, `picklers`, `canning`: the pickler, other picklers instead, users' own rules;
* `reference`, `inputs`: names of the engine, and results of other tasks, as arguments;
* `buffers`: calls as lists of buffers, for programs that carry them themselves;
* `frames`: displays and published data inside a task's output;
* `partition`: sequences cut into parts and joined; `versions`: which Python can read whose bytecode.

Who may use it: everything else in `phalanx`; users, by `phalanx` and `phalanx.serialize`. It sends nothing, and
imports no other room.
"""
