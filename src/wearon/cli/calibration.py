"""`wearon calibration`: what the sold sizes say about our probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wearon.cli.connections import Connections, run_connected
from wearon.cli.output import AsJson, out, print_json
from wearon.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wearon.feedback.calibration import Calibration, Cell, Row, Share

HEADINGS = ["of", "", "feedback", "judged", "right: stated", "counted", "larger: stated", "counted", "result"]


def calibration(
    store: Annotated[str | None, typer.Option(help="Only estimates with charts that this store keeps here.")] = None,
    garment: Annotated[str | None, typer.Option(help="Only this garment type, such as jeans.")] = None,
    months: Annotated[
        int, typer.Option(min=1, max=13, help="Estimates of this month and so many before, in all.")
    ] = 13,
    as_json: AsJson = False,
) -> None:
    """Tell what became of our sizes, and whether the stated probabilities need a recalibration.

    Counted shares are 95 % intervals. They are wider where feedback leaves open which size was right.

    Example: wearon calibration --garment jeans
    """

    async def read(connections: Connections) -> Sequence[Cell]:
        from wearon.feedback.store import FeedbackStore

        return await FeedbackStore(connections.redis).read(months)

    cells = run_connected(read)
    from wearon.feedback.calibration import calibrate

    found = calibrate(cells, store, garment)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found)


def _print(found: Calibration) -> None:
    from wearon.feedback.calibration import LEAST_JUDGED, State

    if not found.rows:
        out.print("There is no feedback.")
        return
    print_table("", HEADINGS, [_cells(row) for row in found.rows], texts=["result"])
    if found.recalibration_warranted:
        out.print("[bold yellow]A recalibration is warranted[/]: what was counted is beyond what chance allows.")
    elif all(row.state is State.TOO_FEW for row in found.rows):
        out.print(f"Too few to conclude anything: that takes {LEAST_JUDGED} judged ones in a row.")
    else:
        out.print("No recalibration is warranted by what was counted.")


def _cells(row: Row) -> list[str]:
    name = row.name or "(no kept chart)"
    result = ", ".join(row.findings).replace("_", " ") or row.state.replace("_", " ")
    if row.findings and row.state == "one_sided":
        result = f"one-sided reports ({result})"
    return [row.by, name, str(row.feedbacks), str(row.judged), *_share(row.right), *_share(row.larger), result]


def _share(share: Share | None) -> tuple[str, str]:
    if share is None:
        return "", ""
    low, high = share.interval
    return f"{share.stated:.0%}", f"{low:.0%} to {high:.0%}"
