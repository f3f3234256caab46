"""What runs in an engine process: `python -m phalanx.engine`.

User code runs on the main thread, in one namespace. A thread of the native module, which never runs
Python, does everything else: the session with the hub, heartbeats, output, abort. Here are

* `__main__`: the process,
* `operations`: what an engine does when asked: apply, execute, push, pull, clear,
* `namespace`: where user code lives,
* `execution`: running strings of code, with IPython's syntax if IPython is there,
* `streams`: what it prints,
* `interrupts`: how it is stopped,
* `rendering`: its tracebacks,
* `binding`, `kernel`: a kernel of Jupyter beside the tasks.

Who may use it: nobody imports it but the process itself, and its tests. It decides nothing about tasks.
"""
