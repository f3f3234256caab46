"""`python -m phalanx.controller`: a hub without engines, in the foreground.

Nothing is to be imported from here: what a hub does is compiled, and runs in the process of the command
`phalanx`.
"""
