"""What is shown to somebody: outputs of tasks, bars, tables of a notebook.

* `showing`: text with its engine before it, displays as rich as can be;
* `progress`: how far something is;
* `html`: clients, views and results as small tables.

Who may use it: results, views, the client and the magics. It is told what to show, and reads no tasks.
"""
