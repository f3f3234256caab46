"""What goes wrong on an engine, on its way to `except` at the client. The classes are in `phalanx.error`.

* `exceptions`: the facts of a failure as the exception that is raised for it, and back;
* `originals`: exceptions that cross as themselves, so that `except ValueError` catches a remote one;
* `outcomes`: how a task ended, as the native module tells it, as an exception;
* `folding`: equal errors of many engines told once.

Who may use it: results, engines, and `phalanx.error`. It shows nothing and talks to nobody.
"""
