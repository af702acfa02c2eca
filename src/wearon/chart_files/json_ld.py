"""schema.org's SizeSpecification in JSON-LD becomes a sheet: alone, in a list, in `@graph`, or as a product's `size`.

`suggestedMeasurement` is about the body that a size is for, `hasMeasurement` about the garment; what is measured stands
in `valueReference` (such as `BodyMeasurementChest`, `WearableMeasurementInseam`) or in `name`
(https://schema.org/SizeSpecification). Nothing is fetched: an `@context` or `@id` is only compared.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wearon.chart_files.cells import Reading, UnreadableCell, read_cell
from wearon.chart_files.headings import is_for_children, read_heading
from wearon.chart_files.problems import NOT_FOR_CHILDREN, Place, UnusableFile, quoted
from wearon.chart_files.sheet import Line, Sheet, Told
from wearon.chart_files.words import Meaning
from wearon.sizing.chart import MeasuredOn, Unit
from wearon.sizing.garments import Column

MOST_SPECIFICATIONS = 200
"""A product in ten colours repeats its sizes ten times."""

_UNITS: Mapping[str, tuple[Unit, float]] = {
    "CMT": (Unit.CM, 1),
    "CM": (Unit.CM, 1),
    "MMT": (Unit.CM, 0.1),
    "MM": (Unit.CM, 0.1),
    "MTR": (Unit.CM, 100),
    "INH": (Unit.INCH, 1),
    "IN": (Unit.INCH, 1),
    "INCH": (Unit.INCH, 1),
    "INCHES": (Unit.INCH, 1),
    "FOT": (Unit.INCH, 12),
}
"""UN/CEFACT's codes, and what is written instead: the unit, and how many of it."""

_WORD_IN_NAME = re.compile(r"[A-Z][a-z]*|[a-z]+")
_OLDEST_CHILD = 13
"""Years: "13 and up" is how shops say adults."""

Node = dict[str, Any]


def parse_json(text: str) -> Any:
    """The document, or UnusableFile: also for numbers that JSON does not have, and nesting that is an attack."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UnusableFile(f"this is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise UnusableFile("this JSON is no size chart: it is nested too deep, or its numbers are too long") from error


def _refuse_constant(name: str) -> float:
    raise UnusableFile(f"{name} is no number in JSON")


def read_json_ld_sheet(document: Any, names: str | None = None, measured_on: MeasuredOn | None = None) -> Sheet:
    """The sheet of all SizeSpecifications in the document, smallest first, rather of a body than of a garment.

    `names` picks one size system or size group where there are several. Raises UnusableFile.
    """
    nodes = list(_nodes(document))
    known = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    specifications = _unique(node for node in nodes if "SizeSpecification" in _types(node))
    if not specifications:
        raise UnusableFile("no SizeSpecification of schema.org is found, and no “sizes” of a size_chart")
    if len(specifications) > MOST_SPECIFICATIONS:
        raise UnusableFile(f"more than {MOST_SPECIFICATIONS} sizes are found: no size chart has them")
    for node in specifications:
        _refuse_children(node)
    specifications = _of_one_kind(specifications, names)
    sheet = Sheet()
    has_body = any(_measurements(node, "suggestedMeasurement", known) for node in specifications)
    side = measured_on or (MeasuredOn.BODY if has_body else MeasuredOn.GARMENT)
    sheet.told = Told(measured_on=side)
    mine, others = ("suggestedMeasurement", "hasMeasurement")[:: 1 if side is MeasuredOn.BODY else -1]
    for number, node in enumerate(specifications, 1):
        sheet.sizes.append(_read_size(number, node, _measurements(node, mine, known), sheet))
        if number == 1 and _measurements(node, others, known):
            sheet.note(f"{others} is left out: a chart is measured on the body or on the garment, not on both")
    _sort(sheet)
    return sheet


def _nodes(document: Any) -> Iterator[Node]:
    """Every object of the document, in its order."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            value = list(value.values())
        if isinstance(value, list):
            waiting += reversed(value)


def _unique(nodes: Iterator[Node]) -> list[Node]:
    """Each one once: a product in several colours repeats its sizes."""
    return list({json.dumps(node, sort_keys=True): node for node in nodes}.values())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _tail(value: Any) -> str:
    """The last part of a name or URL, which may stand in an object by itself."""
    if isinstance(value, dict):
        value = value.get("@id") or value.get("name") or ""
    return str(value).rsplit("/", 1)[-1].rsplit(":", 1)[-1].rsplit("#", 1)[-1]


def _types(node: Node) -> set[str]:
    return {_tail(one) for one in _listed(node.get("@type")) if isinstance(one, str)}


def _refuse_children(node: Node) -> None:
    texts = [
        str(node.get("name", "")),
        *map(_words, _listed(node.get("sizeGroup"))),
        *map(_words, _listed(node.get("suggestedGender"))),
    ]
    said = next((text for text in texts if is_for_children(text)), None)
    if said is not None:
        raise UnusableFile(NOT_FOR_CHILDREN.format(quoted(said)))
    for age in _listed(node.get("suggestedAge")):
        until = age.get("maxValue") if isinstance(age, dict) else None
        if isinstance(until, int | float) and (until <= _OLDEST_CHILD or _tail(age.get("unitCode", "")) == "MON"):
            raise UnusableFile(NOT_FOR_CHILDREN.format(f"suggestedAge up to {until:g}"))


def _of_one_kind(nodes: list[Node], names: str | None) -> list[Node]:
    """The sizes of one system and one group: of others, the same name is another size."""
    for key, prefix in (("sizeSystem", "WearableSizeSystem"), ("sizeGroup", "WearableSizeGroup")):
        kinds = {
            id(node): " ".join(_tail(one).removeprefix(prefix) for one in _listed(node.get(key))) for node in nodes
        }
        different = sorted(set(kinds.values()))
        if len(different) < 2:
            continue
        wanted = [node for node in nodes if names and kinds[id(node)].casefold() == names.casefold()]
        if not wanted:
            there = ", ".join(quoted(kind) if kind else "none" for kind in different)
            raise UnusableFile(f"sizes of several kinds are mixed ({key}: {there}); choose one of them")
        nodes = wanted
    return nodes


def _measurements(node: Node, key: str, known: Mapping[str, Node]) -> list[Node]:
    found = [one for one in _listed(node.get(key)) if isinstance(one, dict)]
    return [known.get(one["@id"], one) if set(one) == {"@id"} and isinstance(one["@id"], str) else one for one in found]


def _words(value: Any) -> str:
    """The words of a name of schema.org: "WearableSizeGroupBoys" has "Boys"."""
    return " ".join(_WORD_IN_NAME.findall(_tail(value)[:200]))


def _meaning(measurement: Node) -> tuple[Meaning | None, str]:
    """What is measured, and how the file says it."""
    said = [
        *_listed(measurement.get("valueReference")),
        *_listed(measurement.get("name")),
        *_listed(measurement.get("propertyID")),
    ]
    texts = [_tail(one).removeprefix("BodyMeasurement").removeprefix("WearableMeasurement") for one in said]
    for text in texts:
        meaning = read_heading(_words(text)).meaning
        if meaning is not None:
            return meaning, text
    return None, texts[0] if texts else ""


def _read_size(number: int, node: Node, measurements: Sequence[Node], sheet: Sheet) -> Line:
    name = str(node.get("name") or "").strip()
    readings: dict[Column, Reading] = {}
    places: dict[Column, Place] = {}
    for measurement in measurements:
        meaning, text = _meaning(measurement)
        place = Place(number, size=name, heading=text or "a measurement")
        if not isinstance(meaning, Column):
            if number == 1:
                sheet.note("the estimate does not measure this, and it is left out", place)
            continue
        try:
            reading = _reading(measurement)
        except UnreadableCell as error:
            sheet.wrong(str(error), place)
            continue
        if meaning in readings:
            sheet.wrong(f"{meaning} is given twice", place)
        elif reading is not None:
            readings[meaning], places[meaning] = reading, place
    return Line(name, Place(number, size=name), readings, places)


def _reading(measurement: Node) -> Reading | None:
    low, high, value = (_end(measurement.get(key)) for key in ("minValue", "maxValue", "value"))
    stated = measurement.get("unitCode") or measurement.get("unitText")
    unit, factor = None, 1.0
    if stated is not None:
        code = _tail(stated).upper()
        if code not in _UNITS:
            raise UnreadableCell(f"the unit {quoted(_tail(stated))} is not known; use CMT for cm or INH for inches")
        unit, factor = _UNITS[code]
    if low is None and high is None:
        return None if value is None else Reading(value.min, value.max, unit or value.unit).times(factor)
    ends = low.middle if low else None, high.middle if high else None
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        raise UnreadableCell("minValue is above maxValue")
    return Reading(*ends, unit).times(factor)


def _end(value: Any) -> Reading | None:
    if value is None:
        return None
    if isinstance(value, bool | dict | list):
        raise UnreadableCell(f"{quoted(json.dumps(value))} is no number")
    return read_cell(f"{value:.2f}" if isinstance(value, float) else str(value))


def _sort(sheet: Sheet) -> None:
    """Smallest first: in JSON-LD the order says nothing."""
    shared = [m for m in Column if all(m in line.readings for line in sheet.sizes)]
    sheet.sizes.sort(key=lambda line: sum(line.readings[m].middle for m in shared))
