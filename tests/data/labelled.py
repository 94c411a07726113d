"""Tables as people hand them over, each with what a person sees in it: the columns' names and how many rows of data.

The bodies are made up; the shapes are those of exports, spreadsheets and statistics offices: titles above, notes and
totals below, headers in two rows, units, other delimiters, no header at all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[object]]


@dataclass(frozen=True)
class Labelled:
    """`names` are None where any will do (there is no header)."""

    case: str
    text: str
    names: tuple[str, ...] | None
    rows: int
    suffix: str = ".csv"


def written(rows: Rows, delimiter: str = ",", padded: bool = False) -> str:
    """As CSV; `padded` as a spreadsheet saves it: every row as wide as the widest."""
    out = io.StringIO()
    widest = max(map(len, rows))
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if padded else "\n")
    for row in rows:
        writer.writerow([*row, *[""] * (widest - len(row))] if padded else row)
    return out.getvalue()


REGIONS = ("North", "South", "East", "West", "Centre", "Islands", "Coast", "Hills")
NAMES = ("Ada Berg", "Bo Lind", "Cy Moss", "Di Holt", "Ed Finn", "Flo Gray", "Gus Hale", "Hal Ives")
CITIES = ("Oslo", "Bergen", "Turku", "Gdansk", "Porto", "Lyon", "Graz", "Split")


def sales(count: int = 8) -> list[list[object]]:
    return [[REGIONS[i % 8], f"SKU-{i:03d}", 10 + 3 * i, round(4.5 + i * 1.25, 2)] for i in range(count)]


SALES = ["Region", "Product", "Units", "Price"]


def people(count: int = 8) -> list[list[object]]:
    return [[NAMES[i % 8], CITIES[i % 8], f"{NAMES[i % 8].split()[0].lower()}{i}@example.org"] for i in range(count)]


PEOPLE = ["Name", "City", "Email"]


def readings(count: int = 12) -> list[list[object]]:
    return [[f"2024-03-{i + 1:02d} 06:00", round(3 + i * 0.4, 1), 1002 + i, 71 - i] for i in range(count)]


READINGS = ["Time", "Temperature", "Pressure", "Humidity"]


def years(count: int = 7) -> list[list[object]]:
    return [[REGIONS[i], 100 + i, 110 + 2 * i, 125 + 3 * i, 140 + i] for i in range(count)]


def one(case: str, rows: Rows, names: Sequence[str] | None, count: int, **how: object) -> Labelled:
    suffix = str(how.pop("suffix", ".csv"))
    return Labelled(case, written(rows, **how), None if names is None else tuple(names), count, suffix)  # type: ignore[arg-type]


def plain() -> list[Labelled]:
    return [
        one("a plain table", [SALES, *sales()], SALES, 8),
        one("words only", [PEOPLE, *people()], PEOPLE, 8),
        one("semicolons", [SALES, *sales()], SALES, 8, delimiter=";"),
        one("tabs", [SALES, *sales()], SALES, 8, delimiter="\t", suffix=".tsv"),
        one("tabs in a .csv", [SALES, *sales()], SALES, 8, delimiter="\t"),
        one("pipes", [SALES, *sales()], SALES, 8, delimiter="|", suffix=".txt"),
        one("one column of numbers", [["amount"], *[[i * 7] for i in range(9)]], ["amount"], 9),
        one("one row", [SALES, *sales(1)], SALES, 1),
        one(
            "two columns",
            [["country", "population"], *[[c, 1000 + i] for i, c in enumerate(CITIES)]],
            ["country", "population"],
            8,
        ),
        one(
            "an index without a name",
            [["", *SALES], *[[i, *row] for i, row in enumerate(sales())]],
            ["column_1", *SALES],
            8,
        ),
        one(
            "a hundred columns",
            [[f"q{i}" for i in range(100)], *[[i * j % 5 for j in range(100)] for i in range(6)]],
            [f"q{i}" for i in range(100)],
            6,
        ),
        Labelled(
            "row names as R writes them",
            '"Units","Price"\n' + "".join(f'"{r[0]}",{r[2]},{r[3]}\n' for r in sales()),
            ("column_1", "Units", "Price"),
            8,
        ),
        one(
            "commas and quotes within cells",
            [
                ["Title", "Year", "Note"],
                *[[f'The "{n}", a film', 1990 + i, "good, or bad"] for i, n in enumerate(CITIES)],
            ],
            ["Title", "Year", "Note"],
            8,
        ),
        one(
            "lines within cells",
            [["Id", "Comment", "Score"], *[[i, f"first\nsecond {i}", i % 5] for i in range(9)]],
            ["Id", "Comment", "Score"],
            9,
        ),
        one(
            "duplicate names",
            [["Id", "Score", "Score", "Score"], *[[i, i, i * 2, i * 3] for i in range(8)]],
            ["Id", "Score", "Score_2", "Score_3"],
            8,
        ),
        one(
            "a name missing",
            [["Id", "", "Score"], *[[i, NAMES[i], i * 3] for i in range(8)]],
            ["Id", "column_2", "Score"],
            8,
        ),
        one("empty columns at the end", [[*SALES, "", ""], *[[*row, "", ""] for row in sales()]], SALES, 8),
    ]


def titled() -> list[Labelled]:
    title = ["Sales by region, first quarter 2024"]
    return [
        one("a title", [title, SALES, *sales()], SALES, 8),
        one("a title and a blank line", [title, [], SALES, *sales()], SALES, 8),
        one("a title, padded", [title, [], SALES, *sales()], SALES, 8, padded=True),
        one("three lines of title", [["Acme Ltd"], ["Quarterly report"], ["in EUR"], [], SALES, *sales()], SALES, 8),
        one("a report's fields above", [["Report:", "Sales"], ["Date:", "2024-03-31"], [], SALES, *sales()], SALES, 8),
        one(
            "a report's fields above, padded",
            [["Report:", "Sales"], ["Period:", "Q1"], ["User:", "jdoe"], [], SALES, *sales()],
            SALES,
            8,
            padded=True,
        ),
        one("a title above words only", [["Staff list"], [], PEOPLE, *people()], PEOPLE, 8),
        one("comment lines", [["# exported 2024-03-31"], ["# source: erp"], SALES, *sales()], SALES, 8),
        one("a title with commas", [["Region, product, units and price"], SALES, *sales()], SALES, 8),
        one(
            "a bank statement",
            [
                ["Account", "NO93 8601 1117 947"],
                ["Owner", "Ada Berg"],
                ["Balance", "1204.50"],
                [],
                ["Date", "Text", "Amount", "Balance"],
                *[[f"2024-02-{i + 1:02d}", f"Card {i}", -10.5 * i, 900 - 10.5 * i] for i in range(9)],
            ],
            ["Date", "Text", "Amount", "Balance"],
            9,
        ),
        one(
            "a statistics office",
            [
                ["Population by municipality"],
                ["Source: Statistics office"],
                ["Unit: persons"],
                [],
                ["Municipality", "2019", "2020", "2021", "2022"],
                *years(),
            ],
            ["Municipality", "2019", "2020", "2021", "2022"],
            7,
            padded=True,
        ),
        one(
            "a long note above",
            [
                [
                    "These figures are preliminary and were compiled from the monthly reports of the "
                    "branches; they may be revised without notice until the annual report."
                ],
                SALES,
                *sales(),
            ],
            SALES,
            8,
        ),
        one("blank lines first", [[], [], SALES, *sales()], SALES, 8),
        one(
            "a title, semicolons",
            [
                ["Umsatz 2023"],
                [],
                ["Region", "Artikel", "Menge", "Preis"],
                *[[r[0], r[1], r[2], str(r[3]).replace(".", ",")] for r in sales()],
            ],
            ["Region", "Artikel", "Menge", "Preis"],
            8,
            delimiter=";",
        ),
        one("a title above one row", [["Totals"], SALES, *sales(1)], SALES, 1, padded=True),
        one("a blank line under the header", [SALES, [], *sales()], SALES, 8),
    ]


def two_rows() -> list[Labelled]:
    grouped = [["", "2022", "", "2023", ""], ["Region", "Sales", "Costs", "Sales", "Costs"]]
    names = ["Region", "2022 Sales", "2022 Costs", "2023 Sales", "2023 Costs"]
    body = [[REGIONS[i], 10 + i, 5 + i, 12 + i, 6 + i] for i in range(8)]
    survey = [
        ["RespondentID", "Which have you seen?", "", "", "How old are you?"],
        ["", "Part one", "Part two", "Part three", "Response"],
    ]
    answers = [[3290000000 + i, "Part one" if i % 2 else "", "", "Part three", "18-29"] for i in range(9)]
    return [
        one("years over measures", [*grouped, *body], names, 8),
        one("years over measures, with a title", [["Results"], [], *grouped, *body], names, 8, padded=True),
        one(
            "a survey's questions and answers",
            [*survey, *answers],
            [
                "RespondentID",
                "Which have you seen? Part one",
                "Which have you seen? Part two",
                "Which have you seen? Part three",
                "How old are you? Response",
            ],
            9,
        ),
        one(
            "groups over named columns",
            [
                ["", "", "Contact", "", "Order", ""],
                ["Id", "Name", "City", "Email", "Units", "Price"],
                *[[i, NAMES[i], CITIES[i], "a@b.c", i * 2, 1.5 * i] for i in range(8)],
            ],
            ["Id", "Name", "Contact City", "Contact Email", "Order Units", "Order Price"],
            8,
        ),
        one(
            "names above, sub-names below",
            [
                ["Region", "Product", "Q1", "", "Q2", ""],
                ["", "", "Units", "Price", "Units", "Price"],
                *[[REGIONS[i], f"SKU-{i}", i, 1.5 * i, i + 1, 2.5 * i] for i in range(8)],
            ],
            ["Region", "Product", "Q1 Units", "Q1 Price", "Q2 Units", "Q2 Price"],
            8,
        ),
        one(
            "sex over ages",
            [
                ["Municipality", "Men", "", "Women", ""],
                ["", "0-17", "18+", "0-17", "18+"],
                *[[CITIES[i], 100 + i, 300 + i, 110 + i, 310 + i] for i in range(8)],
            ],
            ["Municipality", "Men 0-17", "Men 18+", "Women 0-17", "Women 18+"],
            8,
        ),
    ]


def with_units() -> list[Labelled]:
    return [
        one("units in brackets", [READINGS, ["(UTC)", "(°C)", "(hPa)", "(%)"], *readings()], READINGS, 12),
        one("bare units", [READINGS, ["", "°C", "hPa", "%"], *readings()], READINGS, 12),
        one(
            "units of measures",
            [
                ["Car", "Mass", "Power", "Speed"],
                ["", "kg", "kW", "km/h"],
                *[[f"Model {i}", 900 + i * 10, 60 + i, 150 + i] for i in range(9)],
            ],
            ["Car", "Mass", "Power", "Speed"],
            9,
        ),
        one(
            "a title, a header and units",
            [["Station 17"], READINGS, ["", "[degC]", "[hPa]", "[%]"], *readings()],
            READINGS,
            12,
        ),
        one(
            "types under the names",
            [["id", "name", "price"], ["int", "string", "float"], *[[i, NAMES[i], 1.5 * i] for i in range(8)]],
            ["id", "name", "price"],
            8,
        ),
    ]


def with_feet() -> list[Labelled]:
    total = ["Total", "", sum(int(str(row[2])) for row in sales()), ""]
    return [
        one("a total", [SALES, *sales(), total], SALES, 8),
        one("a total after a blank line", [SALES, *sales(), [], total], SALES, 8),
        one("a grand total and a note", [SALES, *sales(), ["Grand Total", "", 164, ""], ["Source: ERP"]], SALES, 8),
        one("notes below", [SALES, *sales(), [], ["* preliminary"], ["Source: annual report"]], SALES, 8, padded=True),
        one("a title and a total", [["Sales"], [], SALES, *sales(), total], SALES, 8, padded=True),
        one("a footnote directly below", [SALES, *sales(), ["Note: without returns."]], SALES, 8),
        one("a copyright", [READINGS, *readings(), [], ["© Weather office 2024"]], READINGS, 12),
        one("how many rows", [SALES, *sales(), ["(8 rows)"]], SALES, 8),
        one(
            "a sum in German",
            [["Region", "Artikel", "Menge"], *[r[:3] for r in sales()], ["Summe", "", 164]],
            ["Region", "Artikel", "Menge"],
            8,
            delimiter=";",
        ),
        one(
            "averages and totals",
            [
                ["Month", "Rain", "Sun"],
                *[[f"2023-{i + 1:02d}", 40 + i, 120 - i] for i in range(12)],
                ["Average", 45.5, 114.5],
                ["Total", 546, 1374],
            ],
            ["Month", "Rain", "Sun"],
            12,
        ),
        one(
            "two columns and a source",
            [["country", "share"], *[[c, 0.1 * i] for i, c in enumerate(CITIES)], [], ["Source: own figures", ""]],
            ["country", "share"],
            8,
        ),
        one(
            "a sentence below",
            [
                ["id", "answer", "score"],
                *[[i, "yes", i] for i in range(9)],
                [],
                ["Figures were rounded to whole numbers by the office."],
            ],
            ["id", "answer", "score"],
            9,
        ),
        one("no foot, though the last row has gaps", [SALES, *sales(7), ["North", "SKU-999", "", ""]], SALES, 8),
        one(
            "no foot, though a region is called Total Coast",
            [SALES, *sales(7), ["Total Coast", "SKU-9", 4, 1.5]],
            SALES,
            8,
        ),
    ]


def headerless() -> list[Labelled]:
    return [
        one("no header, numbers", [[i, i * 2, i / 4] for i in range(9)], None, 9),
        one("no header, mixed", sales(), None, 8),
        one("no header, dates", readings(), None, 12),
        one("no header, words that come again", [[REGIONS[i % 3], CITIES[i % 4]] for i in range(12)], None, 12),
        one(
            "no header, log of sales",
            [[f"2024-01-{i + 1:02d}", "sale", REGIONS[i % 8], 5 * i] for i in range(15)],
            None,
            15,
        ),
    ]


def odd() -> list[Labelled]:
    ragged = written([SALES, *sales()]).splitlines()
    ragged[3] = ragged[3].rsplit(",", 2)[0]
    return [
        one(
            "years as names",
            [["Country", "2018", "2019", "2020", "2021"], *years()],
            ["Country", "2018", "2019", "2020", "2021"],
            7,
        ),
        one(
            "months as names",
            [["Country", "Jan-23", "Feb-23", "Mar-23", "Apr-23"], *years()],
            ["Country", "Jan-23", "Feb-23", "Mar-23", "Apr-23"],
            7,
        ),
        one(
            "dates as names",
            [
                ["Province", "Country", "1/22/20", "1/23/20", "1/24/20"],
                *[["", CITIES[i], i, i + 2, i + 5] for i in range(8)],
            ],
            ["Province", "Country", "1/22/20", "1/23/20", "1/24/20"],
            8,
        ),
        one(
            "numbers as names",
            [["item", "1", "2", "3", "4"], *[[f"I{i}", i % 5, 1, 0, i % 2] for i in range(9)]],
            ["item", "1", "2", "3", "4"],
            9,
        ),
        one(
            "mostly empty columns",
            [["id", "a", "b", "c", "note"], *[[i, "", "", i if i > 6 else "", ""] for i in range(9)]],
            ["id", "a", "b", "c", "note"],
            9,
        ),
        one("words for nothing", [SALES, *[[r[0], "-", "N/A", r[3]] for r in sales()]], SALES, 8),
        one(
            "money and percent",
            [["Client", "Revenue", "Margin"], *[[n, f"${1000 + i:,}", f"{i * 3}%"] for i, n in enumerate(NAMES)]],
            ["Client", "Revenue", "Margin"],
            8,
        ),
        Labelled("a short row", "\n".join(ragged) + "\n", tuple(SALES), 8),
        Labelled(
            "a row with a cell too many", written([SALES, *sales()]) + "North,SKU-9,1,2.5,extra\n", tuple(SALES), 8
        ),
        Labelled("sep= as Excel writes it", "sep=;\n" + written([SALES, *sales()], ";"), tuple(SALES), 8),
        Labelled("blank lines between rows", written([SALES, *sales()]).replace("\n", "\n\n"), tuple(SALES), 8),
        Labelled("the header again in the middle", written([SALES, *sales(4), SALES, *sales(4)]), tuple(SALES), 8),
        Labelled(
            "a quote within words",
            "Size,Part,Units\n" + "".join(f'{i}" pipe,P{i},{i}\n' for i in range(1, 9)),
            ("Size", "Part", "Units"),
            8,
        ),
        Labelled("spaces after commas", written([SALES, *sales()]).replace(",", ", "), tuple(SALES), 8),
        Labelled("old Mac line ends", written([SALES, *sales()]).replace("\n", "\r"), tuple(SALES), 8),
        one(
            "long questions as names",
            [
                ["Id", "How much do you like the traditional cuisine of the country that you were born in?", "Age"],
                *[[i, i % 5, 20 + i] for i in range(9)],
            ],
            ["Id", "How much do you like the tradi...country that you were born in?", "Age"],
            9,
        ),
        one(
            "snake case words",
            [["user_id", "plan", "state"], *[[f"u{i}", "free" if i % 2 else "pro", "active"] for i in range(9)]],
            ["user_id", "plan", "state"],
            9,
        ),
        one(
            "decimal commas",
            [["Ort", "Wert", "Anteil"], *[[c, f"{i},5", f"{i * 2},25"] for i, c in enumerate(CITIES)]],
            ["Ort", "Wert", "Anteil"],
            8,
            delimiter=";",
        ),
        one(
            "codes with leading zeros",
            [["zip", "town", "people"], *[[f"0{i}138", CITIES[i], 100 + i] for i in range(8)]],
            ["zip", "town", "people"],
            8,
        ),
    ]


def like_known_exports() -> list[Labelled]:
    """In the shapes of well-known sources, with made-up figures."""
    bank = ["Country Name", "Country Code", "Indicator Name", "Indicator Code", "1960", "1961", "1962"]
    indicators = [
        [c, c[:3].upper(), "Population, total", "SP.POP.TOTL", "", 10 + i, 11 + i] for i, c in enumerate(CITIES)
    ]
    return [
        one(
            "a development bank",
            [
                ["Data Source", "World Indicators", ""],
                [],
                ["Last Updated Date", "2024-06-28", ""],
                [],
                [*bank, ""],
                *[[*row, ""] for row in indicators],
            ],
            bank,
            8,
        ),
        one(
            "a central bank",
            [["DATE", "GDP"], *[[f"19{50 + i}-01-01", "." if i == 3 else 200.5 + i] for i in range(12)]],
            ["DATE", "GDP"],
            12,
        ),
        one(
            "a search engine's trends",
            [
                ["Category: All categories"],
                [],
                ["Week", "tea: (Worldwide)"],
                *[[f"2023-01-{i + 1:02d}", "<1" if i == 2 else 40 + i] for i in range(12)],
            ],
            ["Week", "tea: (Worldwide)"],
            12,
        ),
        one(
            "web analytics",
            [
                ["# ----------------------------------------"],
                ["# All Web Site Data"],
                ["# 20240101-20240131"],
                ["# ----------------------------------------"],
                [],
                ["Page", "Views", "Bounce Rate"],
                *[[f"/page/{i}", f"{1000 + i:,}", f"{i}.5%"] for i in range(9)],
                [],
                ["", "9,036", "4.5%"],
            ],
            ["Page", "Views", "Bounce Rate"],
            9,
        ),
        one(
            "a statistics bureau's flags",
            [["geo\\time", "2019 ", "2020 ", "2021 "], *[[CITIES[i], f"{i}.5 p", ": ", f"{i}.7 e"] for i in range(8)]],
            ["geo\\time", "2019", "2020", "2021"],
            8,
            delimiter="\t",
            suffix=".tsv",
        ),
        one(
            "a census with codes and labels",
            [
                ["GEO_ID", "NAME", "B01001_001E", "B01001_002E"],
                ["Geography", "Geographic Area Name", "Estimate Total", "Estimate Male"],
                *[[f"0500000US0{i}", CITIES[i], 5000 + i, 2400 + i] for i in range(8)],
            ],
            [
                "GEO_ID Geography",
                "NAME Geographic Area Name",
                "B01001_001E Estimate Total",
                "B01001_002E Estimate Male",
            ],
            8,
        ),
        one(
            "a trial balance",
            [
                ["", "Acme Ltd", "", ""],
                ["", "Trial balance", "", ""],
                ["", "As of 31 March 2024", "", ""],
                ["", "", "", ""],
                ["Account", "Name", "Debit", "Credit"],
                *[[4000 + i, f"Account {i}", 10.5 * i if i % 2 else "", "" if i % 2 else 10.5 * i] for i in range(10)],
                ["TOTAL", "", 262.5, 210],
            ],
            ["Account", "Name", "Debit", "Credit"],
            10,
        ),
        one(
            "answers of yes and no",
            [
                ["Likes tea", "Likes coffee", "Likes milk"],
                *[["Yes" if i % 2 else "No", "No", "Yes" if i % 3 else "No"] for i in range(12)],
            ],
            ["Likes tea", "Likes coffee", "Likes milk"],
            12,
        ),
        one(
            "a total of two columns",
            [["Fruit", "Sold"], *[[f, 10 + i] for i, f in enumerate(CITIES)], ["Total", 108]],
            ["Fruit", "Sold"],
            8,
        ),
        one(
            "a title, a header and two rows",
            [["Stock"], ["Item", "Count"], ["Bolt", 40], ["Nut", 52]],
            ["Item", "Count"],
            2,
        ),
        one(
            "estimates among years",
            [["Country", "2022", "2023", "2024 (est.)"], *[r[:4] for r in years()]],
            ["Country", "2022", "2023", "2024 (est.)"],
            7,
        ),
        one(
            "the first row has gaps",
            [["id", "name", "score", "rank"], [1, "Ada", "", ""], *[[i, NAMES[i], i * 1.5, i] for i in range(2, 8)]],
            ["id", "name", "score", "rank"],
            7,
        ),
        one(
            "a timetable",
            [["Stop", "Mon", "Tue", "Wed"], *[[CITIES[i], f"0{i}:15", f"0{i}:25", f"0{i}:35"] for i in range(8)]],
            ["Stop", "Mon", "Tue", "Wed"],
            8,
        ),
        one(
            "a league table",
            [
                ["Pos", "Team", "P", "W", "D", "L", "Pts"],
                *[[i + 1, c, 10, 9 - i, 1, i, 28 - 3 * i] for i, c in enumerate(CITIES)],
            ],
            ["Pos", "Team", "P", "W", "D", "L", "Pts"],
            8,
        ),
        one(
            "a price list in sections",
            [
                ["Price list 2024"],
                [],
                ["Code", "Article", "Price"],
                *[[f"A{i}", f"Article {i}", f"{i},90"] for i in range(1, 10)],
                [],
                ["Prices without tax, subject to change."],
            ],
            ["Code", "Article", "Price"],
            9,
            delimiter=";",
            padded=True,
        ),
        one(
            "a sensor without a header",
            [[f"2024-01-01T00:{i:02d}:00Z", 21.5 + i / 10, 40 + i] for i in range(20)],
            None,
            20,
        ),
        one(
            "coordinates",
            [["lat", "lon", "label"], *[[59.9 + i, 10.7 - i, CITIES[i]] for i in range(8)]],
            ["lat", "lon", "label"],
            8,
        ),
        one(
            "a matrix of distances",
            [["", *CITIES[:5]], *[[c, *[abs(i - j) * 100 for j in range(5)]] for i, c in enumerate(CITIES[:5])]],
            ["column_1", *CITIES[:5]],
            5,
        ),
    ]


LABELLED = (*plain(), *titled(), *two_rows(), *with_units(), *with_feet(), *headerless(), *odd(), *like_known_exports())
