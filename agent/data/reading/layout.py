"""Where a table is within a grid of cells: titles above it, header rows, a row of units, totals and notes below it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from agent.data.reading.cells import Kind, is_unit, is_year, kind

Row = Sequence[str]
HEAD_ROWS = 100
TAIL_ROWS = 30
MOST_PREAMBLE = 40
TOTAL = re.compile(
    r"((grand|sub|overall)[ -]?)?totals?( general| général)?|sums?|summe|gesamt(summe)?|insgesamt|somme|suma|totale|"
    r"averages?|avg\.?|means?|mittelwert|durchschnitt|moyenne|median",
    re.IGNORECASE,
)
NOTE = re.compile(
    r"(\(c\)|\*|†|‡|§|¹|²|\(?\d\)|\[\d|--|==|#|©|http|\(?\d+ rows|rows:|page \d)|"
    r"(notes?|sources?|quellen?|fuente|footnotes?|remarks?|disclaimer|copyright|data as of|last updated|updated|"
    r"exported|generated|report (date|generated|run)|run date|printed|end of|includes|excludes|record count|"
    r"total (rows|records)|confidential)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """Places are rows of the grid, from 0. `first` is the first row of data; `names` are as they stand, one a column.

    `units` are by column, empty where there are none.
    """

    names: tuple[str, ...]
    first: int
    header: tuple[int, ...] = ()
    titles: tuple[int, ...] = ()
    units: tuple[str, ...] = ()
    units_row: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.titles:
            notes.append(f"{counted(len(self.titles), 'title line')} above the header")
        if len(self.header) > 1:
            notes.append(f"{len(self.header)} header rows joined")
        if not self.header:
            notes.append("no header")
        if self.units_row is not None:
            notes.append("a row of units under the header")
        return tuple(notes)


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Profile:
    """What the body's columns hold, how many cells of a row are usually filled, and whether the first always is."""

    kinds: tuple[Kind, ...]
    filled: float
    is_led: bool

    def agreement(self, row: Row) -> tuple[int, int]:
        """How many cells of `row` are as the typed columns are, and how many are words where values should be."""
        good = bad = 0
        for cell, expected in zip(row, self.kinds, strict=False):
            found = kind(cell)
            if found == "empty" or expected not in ("number", "date"):
                continue
            good += found == expected
            bad += found != expected
        return good, bad

    @property
    def typed(self) -> int:
        return sum(one in ("number", "date") for one in self.kinds)


def find_layout(rows: Sequence[Row], whole: bool = False) -> Layout:
    """`rows` are the grid's first, blank ones included; `whole`: there are no others, so that notes may stand below."""
    places = [place for place, row in enumerate(rows) if fill(row)]
    if not places:
        return Layout((), 0)
    width = _width(rows)
    body = [rows[place] for place in places]
    if whole:
        body = body[: len(body) - len(find_footer(body))] or body
    profile = _profile(body, width)
    first = _first_data(rows, places, profile)
    above = [place for place in places if place < first]
    header, units = _header(rows, above, profile)
    if not header and (full := [place for place in above if _is_full_header(rows[place], profile)]):
        header, units, first = (full[-1],), None, full[-1] + 1
        above = [place for place in above if place < first]
    beside = _index_shift(rows, header, first, width)
    titles = tuple(place for place in above if place not in header and place != units)
    return Layout(
        names=_names([rows[place] for place in header], width, beside),
        first=first,
        header=header,
        titles=titles,
        units=() if units is None else tuple(_pad(rows[units], width)),
        units_row=units,
    )


def fill(row: Row) -> int:
    return sum(1 for cell in row if cell.strip())


def _pad(row: Row, width: int) -> list[str]:
    return [cell.strip() for cell in row[:width]] + [""] * (width - len(row))


def _width(rows: Sequence[Row]) -> int:
    """As far as rows are filled, but for a few that are longer than the rest."""
    widths = Counter(max(place for place, cell in enumerate(row) if cell.strip()) + 1 for row in rows if fill(row))
    full = Counter(len(row) for row in rows if fill(row))
    usual = max(full.items(), key=lambda item: (item[1], item[0]))[0]
    reached = [width for width, count in widths.items() if width <= usual or count > 0.2 * sum(widths.values())]
    return max(reached) if reached else max(widths)


def _profile(body: Sequence[Row], width: int) -> Profile:
    """From the rows below the middle, where no title or header is; a short table's from all but the first."""
    lower = body[len(body) // 2 :] if len(body) > 6 else body[min(1, len(body) - 1) :]
    kinds: list[Kind] = []
    for column in range(width):
        counts = Counter(kind(row[column]) for row in lower if column < len(row))
        del counts["empty"]
        common: list[tuple[Kind, int]] = counts.most_common(1)
        kinds.append(common[0][0] if common and common[0][1] >= 0.7 * counts.total() else "text" if counts else "empty")
    is_led = all(row and row[0].strip() for row in lower[:-1])
    return Profile(tuple(kinds), median(fill(row) for row in lower), is_led)


def _first_data(rows: Sequence[Row], places: Sequence[int], profile: Profile) -> int:
    """The place of the first row that is like the body's."""
    for place in places[:MOST_PREAMBLE]:
        if _is_data(rows, place, profile):
            return place
    if profile.typed == 0:
        return _after_words(rows, places, profile)
    return places[1] if len(places) > 1 else places[0] + 1


def _is_data(rows: Sequence[Row], place: int, profile: Profile) -> bool:
    row = rows[place]
    good, bad = profile.agreement(row)
    if bad == 0 and place > 0 and _is_full_header(rows[place - 1], profile):
        return not _is_units(row, profile)
    if good == 0 or good <= bad:
        return False
    if fill(row) < max(1, 0.4 * profile.filled):
        return False
    if _counts_up(row, profile) and not _like_the_next(rows, place, profile):
        return False
    return not (good < 0.34 * profile.typed and fill(row) < 0.6 * profile.filled)


def _is_full_header(row: Row, profile: Profile) -> bool:
    """Words over every column: whatever comes next, and be it mostly empty, is the first row."""
    return fill(row) >= 0.8 * len(profile.kinds) and profile.agreement(row)[0] == 0 and profile.typed > 0


def _counts_up(row: Row, profile: Profile) -> bool:
    """A header of years, or of 1, 2, 3, ...: numbers in a row where the body has numbers."""
    cells = [
        cell.strip()
        for cell, expected in zip(row, profile.kinds, strict=False)
        if expected == "number" and kind(cell) == "number"
    ]
    if len(cells) < 2 or not all(cell.isdigit() for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    steps = {after - before for before, after in pairwise(numbers)}
    years = all(map(is_year, cells)) and len(set(cells)) == len(cells)
    return years or (len(cells) > 2 and len(steps) == 1 and steps <= {1, -1})


def _like_the_next(rows: Sequence[Row], place: int, profile: Profile) -> bool:
    """Whether the rows below count up as well: then it is the data that does."""
    below = [row for row in rows[place + 1 : place + 6] if fill(row)]
    return bool(below) and sum(_counts_up(row, profile) for row in below) > len(below) / 2


def _after_words(rows: Sequence[Row], places: Sequence[int], profile: Profile) -> int:
    """Where every column holds words: after the first row that is filled as the others are, if that is a header."""
    wide = [place for place in places if fill(rows[place]) >= 0.7 * profile.filled] or list(places)
    top, below = wide[0], [rows[place] for place in wide[1:]]
    if below and _recurs(rows[top], below):
        return top
    if len(wide) > 1 and _is_units(rows[wide[1]], profile):
        return wide[2] if len(wide) > 2 else wide[1] + 1
    return wide[1] if len(wide) > 1 else top + 1


def _recurs(row: Row, below: Sequence[Row]) -> bool:
    """Whether words of `row` come again in their columns: then it is no header, unless it is repeated whole."""
    others = [other for other in below if [cell.strip() for cell in other] != [cell.strip() for cell in row]]
    return any(
        cell.strip() and any(column < len(other) and other[column].strip() == cell.strip() for other in others)
        for column, cell in enumerate(row)
    )


def _header(rows: Sequence[Row], above: Sequence[int], profile: Profile) -> tuple[tuple[int, ...], int | None]:
    """Which of the rows above the data are its header, and which its units."""
    left = list(above)
    units = None
    if len(left) > 1 and _is_units(rows[left[-1]], profile) and _may_be_header(rows[left[-2]], profile):
        units = left.pop()
    if not left or not _may_be_header(rows[left[-1]], profile):
        if units is not None:
            return (units,), None
        return (), None
    header = [left.pop()]
    while left and left[-1] == header[0] - 1 and len(header) < 3 and _is_upper(rows[left[-1]], rows[header[0]]):
        header.insert(0, left.pop())
    return tuple(header), units


def _may_be_header(row: Row, profile: Profile) -> bool:
    return fill(row) >= max(1, min(2, profile.filled), 0.5 * profile.filled)


def _is_units(row: Row, profile: Profile) -> bool:
    cells = [cell for cell in row if cell.strip()]
    units = sum(map(is_unit, cells))
    return bool(cells) and units >= 0.6 * len(cells) and units >= min(2, len(profile.kinds))


def _is_upper(upper: Row, lower: Row) -> bool:
    """A row of headings over groups of columns: at least two, with gaps over what the lower row names, or under it."""
    cells = [cell.strip() for cell in upper]
    count = sum(map(bool, cells))
    if count < 2 or any(len(cell) > 200 for cell in cells):
        return False
    span = max(len(upper), len(lower))
    high, low = _pad(upper, span), _pad(lower, span)
    gaps = any(not one and other for one, other in zip(high, low, strict=True))
    fills = any(one and not other for one, other in zip(high, low, strict=True))
    numbers = sum(kind(cell) == "number" and not is_year(cell) for cell in cells)
    repeats = len({cell for cell in low if cell}) < sum(map(bool, low))
    same = count >= 0.9 * span
    return numbers == 0 and (gaps or fills or repeats or same) and not _is_field_list(high, low)


def _is_field_list(high: Sequence[str], low: Sequence[str]) -> bool:
    """`Client, Acme Ltd` above a header names the report's own fields, no groups of columns."""
    count = sum(map(bool, high))
    labelled = any(cell.endswith(":") for cell in high if cell) and count <= max(4, len(high) // 2)
    at_left = all(high[:count]) and count < 0.7 * len(high)
    return labelled or (at_left and all(low) and len(set(low)) == len(low))


def _index_shift(rows: Sequence[Row], header: Sequence[int], first: int, width: int) -> bool:
    """R writes row names without a heading: the header is one cell short of every row."""
    if len(header) != 1 or len(rows[header[0]]) != width - 1 or fill(rows[header[0]]) != width - 1:
        return False
    body = [row for row in rows[first : first + 20] if fill(row)]
    return bool(body) and all(len(row) == width for row in body)


def _names(header: Sequence[Row], width: int, beside: bool) -> tuple[str, ...]:
    if not header:
        return ("",) * width
    lines = [_pad(["", *row] if beside else row, width) for row in header]
    for place, line in enumerate(lines[:-1]):
        lines[place] = _spread(line, lines[place + 1])
    return tuple(" ".join(_distinct(parts)) for parts in zip(*lines, strict=True))


def _distinct(parts: Sequence[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        if part and part not in parts[:place]:
            yield part


def _spread(line: list[str], lower: list[str]) -> list[str]:
    """A heading over several columns stands in the first of them: say it over each that the lower row names."""
    current, spread = "", []
    for cell, below in zip(line, lower, strict=True):
        current = cell or (current if below else "")
        spread.append(current)
    return spread


def find_footer(rows: Sequence[Row]) -> tuple[int, ...]:
    """Which of the last rows are totals or notes; `rows` are the table's, header and blank ones included."""
    places = [place for place, row in enumerate(rows) if fill(row)]
    if len(places) < 3:
        return ()
    profile = _profile([rows[place] for place in places[:-1]], max(len(row) for row in rows))
    footer: list[int] = []
    sure = 0
    for place in reversed(places[-TAIL_ROWS:]):
        apart, usual = _is_apart(rows, place, profile), _usual(rows, places, place)
        if not _is_footer(rows[place], profile, apart or bool(footer), usual):
            break
        footer.append(place)
        sure = len(footer) if _is_footer(rows[place], profile, apart, usual) else sure
    if len(footer) > len(places) - 2:
        return ()
    return tuple(reversed(footer[:sure]))


def _is_apart(rows: Sequence[Row], place: int, profile: Profile) -> bool:
    """Whether a blank line parts the row from the body, with nothing but notes between."""
    for above in range(place - 1, -1, -1):
        count = fill(rows[above])
        if count == 0:
            return True
        if count > min(2, 0.5 * profile.filled):
            return False
    return False


def _usual(rows: Sequence[Row], places: Sequence[int], place: int) -> float:
    """How long the first filled cell's text usually is in its column."""
    column = next(at for at, cell in enumerate(rows[place]) if cell.strip())
    lengths = [len(rows[other][column].strip()) for other in places[:-3] if column < len(rows[other])]
    return max(lengths, default=0)


def _is_footer(row: Row, profile: Profile, apart: bool, usual: float) -> bool:
    cells = [(column, cell.strip()) for column, cell in enumerate(row) if cell.strip()]
    column, text = cells[0]
    if apart and column > 0 and profile.is_led and len(cells) > 1 and all(kind(cell) != "text" for _, cell in cells):
        return True
    if kind(text) == "text" and TOTAL.fullmatch(text.rstrip(":").strip()):
        return True
    if len(cells) > 2 or profile.filled < 2 or len(cells) > 0.5 * profile.filled:
        return False
    expected = profile.kinds[column] if column < len(profile.kinds) else "empty"
    if expected in ("number", "date") and kind(text) == "text":
        return True
    noted = bool(NOTE.match(text))
    return (noted and kind(text) == "text") or (kind(text) == "text" and (apart or len(text) > max(40, 1.5 * usual)))
