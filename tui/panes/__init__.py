"""The built-in panes; they use what `tui.pane.Pane` gives to anyone."""
