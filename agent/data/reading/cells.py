"""What a single cell looks like: nothing, a number, a date, a unit, words."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["empty", "number", "date", "text"]

NOTHING = frozenset(
    re.split(
        "[|]",
        "#n/a|#na|n/a|n.a.|n.a|na|nan|null|none|nil|-|--|---|–|—|.|..|...|…|?|#div/0!|#value!|#ref!|#null!|#num!|"
        "#name?|\\n|(null)|<na>|missing|not available|nd|n.d.|k.a.|*",
    )
)
"""What people write for nothing, in lower case. It is nothing only where the rest of the column agrees on a type."""

NUMBER = re.compile(
    r"[-+(]?\s*[$€£¥₹]?\s*[-+]?(\d{1,3}([,. '\u00a0\u202f’]\d{3})+|\d+)?([.,]\d+)?([eE][-+]?\d+)?\s*[%$€£¥₹]?\)?"
)
MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = re.compile(
    rf"(\d{{4}}[-/.]\d{{1,2}}([-/.]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.](\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}[- ]{MONTH}[- ,]*(\d{{2,4}})?|{MONTH}[- ]\d{{1,2}},? \d{{4}}|{MONTH}[-. ]'?(\d{{4}}|\d{{2}}))"
    r"([T ,]+\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*([ap]m|z|[-+]\d{2}:?\d{2})?)?|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?",
    re.IGNORECASE,
)
YEAR = re.compile(r"(1[789]|20|21)\d\d")
UNITS = frozenset(
    re.split(
        "[|]",
        "kg|g|mg|t|lb|lbs|oz|m|km|cm|mm|nm|um|µm|mi|ft|in|yd|s|sec|secs|seconds|ms|us|µs|ns|min|mins|minutes|h|"
        "hr|hrs|hours|d|days|weeks|months|years|yr|yrs|%|percent|pct|usd|eur|gbp|chf|jpy|$|€|£|us$|°c|°f|c|f|k|"
        "degc|degf|deg|degrees|°|pa|hpa|kpa|mbar|bar|psi|mph|kph|km/h|kmh|m/s|knots|kn|l|ml|dl|gal|m2|m²|m3|m³|"
        "km2|km²|ha|w|kw|mw|gw|wh|kwh|mwh|gwh|v|a|ma|hz|khz|mhz|ghz|b|kb|mb|gb|tb|bytes|ppm|ppb|mol|mmol/l|mg/dl|"
        "mg/l|µg/m3|µg/m³|ug/m3|n|count|number|no.|thousands|millions|billions|000s|'000|'000s|mn|bn|persons|"
        "people|units|pcs|pieces|ratio|index|score|bpm|kcal|j|kj|db|lux|rpm|x|int|integer|float|double|string|"
        "text|str|date|datetime|timestamp|bool|boolean|varchar|bigint|yyyy-mm-dd|dd/mm/yyyy|mm/dd/yyyy|hh:mm|"
        "name|code|id",
    )
)
BRACKETED = re.compile(r"[(\[][^()\[\]]{1,24}[)\]]")


def kind(cell: str) -> Kind:
    text = cell.strip()
    if not text or text.lower() in NOTHING:
        return "empty"
    if any(map(str.isdigit, text)):
        if NUMBER.fullmatch(text):
            return "number"
        if DATE.fullmatch(text):
            return "date"
    return "text"


def is_unit(cell: str) -> bool:
    text = cell.strip()
    return bool(BRACKETED.fullmatch(text)) or text.strip("[]()").strip().lower() in UNITS


def is_year(cell: str) -> bool:
    return bool(YEAR.fullmatch(cell.strip()))
