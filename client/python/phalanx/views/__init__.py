"""Ways of addressing engines, and what a call can say.

* `view`: what all have in common; `direct`, `load_balanced`, `broadcast`: the three kinds;
* `flags`: what may be their values; `attempts`: how often a task is tried; `placing`: what it asks of engines;
* `dependency`: tasks and conditions that a task waits for; `graph`: tasks submitted as one;
* `remotefunction`: functions that run on engines when called; `lazymap`: maps over endless input;
* `imports`: imports made here and on engines.

Who may use it: the client makes views, users hold them.
"""
