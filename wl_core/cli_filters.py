"""`wl filters`: the filters that a person keeps by name; they are `saved_filters`'."""

from __future__ import annotations

import click

from wl_core.cli_options import json_option


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def filters(context: click.Context, as_json: bool) -> None:
    """List the filters that you keep by name, to write @NAME wherever a filter is written.

    They are yours, not a run's: `filters.toml` in your configuration directory, which you may edit.

    \b
    Examples:
      wl filters save hard "train_bce/sample > 0.5 and not discarded"
      wl samples --where "@hard and density == 'crowded'"
      wl filters remove hard
    """
    if context.invoked_subcommand is not None:
        return
    from wl_core.cli_output import print_rows
    from wl_core.saved_filters import saved_filters

    print_rows(("name", "filter"), list(saved_filters().items()), as_json=as_json)


@filters.command()
@click.argument("name")
@click.argument("where")
def save(name: str, where: str) -> None:
    """Keep the filter WHERE as @NAME, in place of what was kept by that name."""
    from wl_core.saved_filters import save_filter

    replaced = save_filter(name, where)
    print(f"{'replaced' if replaced else 'saved'} @{name}: {where.strip()}")


@filters.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget the filter @NAME; it is printed, so that it can be saved again."""
    from wl_core.saved_filters import remove_filter

    print(f"removed @{name}: {remove_filter(name)}")


COMMANDS = (filters,)
