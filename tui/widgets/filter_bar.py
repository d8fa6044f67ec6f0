"""The line in which a filter is written: completed from the table, and told what is wrong with it.

The pane whose rows are filtered gives the table, hears `LineBar.Submitted` and says with `accept`
or `complain` what became of it. What can be completed is `tui.filter_completion`'s.
"""

from __future__ import annotations

from tui.widgets.line_bar import LineBar
from wl_core.errors import FilterError


class FilterBar(LineBar):
    """Hidden until `open`; stays in sight while a filter is in force."""

    def __init__(self) -> None:
        super().__init__(" / ", "train_bce/sample > 0.5 and not discarded")

    def complain(self, error: FilterError) -> None:
        """Point at what is wrong and let the user go on writing."""
        self.open()
        self.remark(error.message, error.offset)

    def accept(self) -> None:
        """The filter is in force: leave it in sight and give the focus back."""
        self.remark("")
        self.set_class(bool(self.text.strip()), "-open")
        self.leave()

    def escaped(self) -> None:
        """Escape: no filter, and back to the table."""
        self.write("")
        self.post_message(self.Submitted(""))
        self.accept()
