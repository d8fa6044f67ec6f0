"""The terminal application: the views of a run, live, in a terminal.

It reads runs through `wl_core.run.Run` and acts by appending events to their log, as any other
process would; it keeps no state of its own that the log does not have.
"""
