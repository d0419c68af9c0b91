"""The service's own figures, live in a terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from batch_client.client import Client
from batch_client.screen import printable
from batch_client.service_stats import ServiceStats


def watch(client: Client, console: Console, interval_s: float) -> None:
    """Show the figures until the user stops it. Raises ServiceError."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(table_of(client.stats(), time.strftime("%H:%M:%S")), refresh=True)
            time.sleep(interval_s)


def table_of(stats: ServiceStats, moment: str) -> Table:
    """One line per figure; nested ones carry the path to them."""
    table = Table("figure", "value", title=Text(printable(f"{stats.model or 'service'}, {moment}")))
    table.columns[1].justify = "right"
    for name, value in _flattened("", stats.model_dump()):
        table.add_row(Text(printable(name)), Text(printable(_shown(value))))
    return table


def _flattened(prefix: str, values: dict[str, object]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        path = f"{prefix}{name.replace('_', ' ')}"
        found += _flattened(f"{path}, ", value) if isinstance(value, dict) else [(path, value)]
    return found


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
