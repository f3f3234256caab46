"""How clients, views and results show themselves in a notebook: small tables, without scripts or styles.

Who may use it: their `_repr_html_`. It asks nobody: it shows what is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phalanx.client import Client
    from phalanx.results.watching import Watched
    from phalanx.views.view import View

__all__ = ["of_client", "of_result", "of_view", "table"]

ROWS_MAX = 32
"""Rows of a table; of more, their number is told."""


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], total: int) -> str:
    """A table of so many rows, of which the first are shown. Texts are escaped.

    >>> table("t", ["a"], [["<b>"]], 1)
    '<div><b>t</b><table><tr><th>a</th></tr><tr><td>&lt;b&gt;</td></tr></table></div>'
    """
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = ""
    for _, row in zip(range(ROWS_MAX), rows, strict=False):
        body += "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
    if total > ROWS_MAX:
        more = f"... and {total - ROWS_MAX} more"
        body += f'<tr><td colspan="{len(heads)}">{more}</td></tr>'
    line = f"<tr>{head}</tr>" if heads else ""
    return f"<div><b>{escape(title)}</b><table>{line}{body}</table></div>"


def of_client(client: Client) -> str:
    """A client: its engines.

    >>> "<td>python</td>" in of_client(rc)
    True
    """
    if client.closed:
        return table(repr(client), (), (), 0)
    engines = client.engines
    keys = ("id", "name", "kind", "host", "pid", "slots", "state")

    def row(engine: Mapping[str, Any]) -> list[Any]:
        return [*(engine[key] for key in keys), ", ".join(engine["labels"])]

    return table(repr(client), (*keys, "labels"), map(row, engines), len(engines))


def of_view(view: View) -> str:
    """A view: its flags.

    >>> "<td>targets</td><td>[0, 1]</td>" in of_view(view)
    True
    """
    flags = [(name, getattr(view, name)) for name in view.flag_names]
    return table(repr(view), (), flags, len(flags))


def of_result(result: Watched) -> str:
    """A result: its tasks, each with its engine and how it stands.

    >>> ar = rc[0].apply_async(abs, -1)
    >>> ar.wait(), "<td>done</td>" in of_result(ar)
    (True, True)
    """
    batch = result._batch

    def row(index: int) -> list[Any]:
        facts = batch.metadata(index)
        ran = facts.get("ran")
        client, number = facts["task"]
        return [
            f"c{client}/{number}",
            result._engine_of(index),
            facts.get("outcome") or "pending",
            "" if ran is None else f"{ran:.3g} s",
        ]

    title = f"{result!r} {batch.done_count()}/{len(batch)}"
    heads = ("msg_id", "engine", "outcome", "ran")
    return table(title, heads, map(row, range(len(batch))), len(batch))
