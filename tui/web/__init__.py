"""The TUI in a browser, for one person on one machine: ``wl tui --web``.

- `server`: listens on loopback, gives out the page and its files, counts the sessions.
- `guard`: whom it answers. Every request goes through it.
- `session`: one browser tab, one child process.
- `served`: what that child runs: the application, drawn into a pipe.
- `confinement`: what that child cannot do when it is read-only.

textual-serve gives the protocol between child and tab and the terminal in the page. Its server is
not used: it answers any origin, starts the application by a shell and loads a font from elsewhere.
"""
