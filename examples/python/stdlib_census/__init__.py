"""The main job: a census of the source of Python's own standard library, as a graph of tasks.

    measure (every file, balanced) --after, follow--> reduce (every package)
        --after--> imports (a typed Rust handler) --after--> report

Where what is: `sources` (which files), `measure` (one file), `packages` (one package), `imports` (the
import graph, in Python, to check the Rust one), `report`, `tasks` (the same as tasks that hand on files in
a directory of the run), `serial` (all of it in one process), `cluster` (all of it on a cluster),
`picture`, and `__main__`, the program.
"""
