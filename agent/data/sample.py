"""The generated sample: three hospitals that buy from the same vendors and do not know it.

Schemas `silo_north`, `silo_lakeside` and `silo_valley`, each with `vendors`, `purchase_orders` and `invoices`; the
views of `all_silos` put the three together with a `silo` column in front. Everything follows from md5 of row numbers,
so that each build on each machine holds the same rows: about 193,000, ordered in 2023 to 2025.

Planted, and counted by `planted()`:

- 40 vendors are in all three silos, under other ids and other spellings ("Acme Surgical Inc",
  "ACME SURGICAL INCORPORATED", "Acme Surgicl, Inc."), with the same tax id; 30 more are in north and lakeside only;
- every 997th invoice of a silo has an amount 50 times its order's (outliers);
- every 401st invoice is 1.35 times its order (billed over the order);
- every 503rd invoice exists twice, with the same number, vendor, date and amount and another id;
- lakeside has no invoices of March and April 2024 and valley none of November 2024, though orders went on;
- every 71st vendor has no tax id, every 83rd order no department, every 67th invoice no paid date (it is open).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

VERSION = 1
"""Part of the sample's file name: another content needs another number."""

TABLES = ("vendors", "purchase_orders", "invoices")
SHARED_BY_ALL = 40
SHARED_BY_TWO = 30
OUTLIER, OVERBILLED, REPEATED, NO_TAX_ID, NO_DEPARTMENT, UNPAID = 997, 401, 503, 71, 83, 67


@dataclass(frozen=True)
class Silo:
    """`missing`: the months (first days) without invoices; `spelling`: SQL over `stem`, `misspelled` and `form`."""

    schema: str
    prefix: str
    salt: int
    vendors: int
    orders: int
    spelling: str
    missing: tuple[str, ...] = ()


SILOS = (
    Silo("silo_north", "N", 1, 420, 36_000, "stem || ' ' || form"),
    Silo(
        "silo_lakeside",
        "L",
        2,
        360,
        32_000,
        "upper(stem) || ' ' || CASE form WHEN 'Inc' THEN 'INCORPORATED' WHEN 'Ltd' THEN 'LIMITED' ELSE upper(form) END",
        ("2024-03-01", "2024-04-01"),
    ),
    Silo("silo_valley", "V", 3, 300, 28_000, "misspelled || ', ' || form || '.'", ("2024-11-01",)),
)


@dataclass(frozen=True)
class Planted:
    """What a query over the sample has to find; tuples are one number for each of SILOS, in order."""

    vendors_in_all_silos: int
    vendors_in_two_silos: int
    outliers: tuple[int, ...]
    overbilled: tuple[int, ...]
    repeated: tuple[int, ...]
    without_tax_id: tuple[int, ...]
    without_department: tuple[int, ...]
    missing_months: tuple[tuple[str, ...], ...]


def planted_truth() -> Planted:
    invoices = tuple(silo.orders for silo in SILOS)
    return Planted(
        vendors_in_all_silos=SHARED_BY_ALL,
        vendors_in_two_silos=SHARED_BY_TWO,
        outliers=tuple(count // OUTLIER for count in invoices),
        overbilled=tuple(count // OVERBILLED - count // (OVERBILLED * OUTLIER) for count in invoices),
        repeated=tuple(count // REPEATED for count in invoices),
        without_tax_id=tuple(silo.vendors // NO_TAX_ID for silo in SILOS),
        without_department=tuple(silo.orders // NO_DEPARTMENT for silo in SILOS),
        missing_months=tuple(silo.missing for silo in SILOS),
    )


def fill(connection: DuckDBPyConnection) -> None:
    """Build the sample in an empty database."""
    for silo in SILOS:
        connection.execute(f"CREATE SCHEMA {silo.schema}")
        for statement in (VENDORS, PURCHASE_ORDERS, INVOICES):
            connection.execute(statement.format(**_values(silo)))
    connection.execute("CREATE SCHEMA all_silos")
    for table in TABLES:
        parts = " UNION ALL ".join(
            f"SELECT '{silo.schema.removeprefix('silo_')}' AS silo, * FROM {silo.schema}.{table}"  # noqa: S608 - constants
            for silo in SILOS
        )
        connection.execute(f"CREATE VIEW all_silos.{table} AS {parts}")


def _values(silo: Silo) -> dict[str, object]:
    return {
        "schema": silo.schema,
        "prefix": silo.prefix,
        "salt": silo.salt,
        "vendors": silo.vendors,
        "orders": silo.orders,
        "spelling": silo.spelling,
        "identity": IDENTITY[silo.schema],
        "missing": ", ".join(f"DATE '{month}'" for month in ("1900-01-01", *silo.missing)),
        "outlier": OUTLIER,
        "overbilled": OVERBILLED,
        "repeated": REPEATED,
        "no_tax_id": NO_TAX_ID,
        "no_department": NO_DEPARTMENT,
        "unpaid": UNPAID,
    }


IDENTITY = {
    "silo_north": "i",
    "silo_lakeside": f"CASE WHEN i <= {SHARED_BY_ALL + SHARED_BY_TWO} THEN i ELSE 1000 + i END",
    "silo_valley": f"CASE WHEN i <= {SHARED_BY_ALL} THEN i ELSE 2000 + i END",
}
"""Which company the i-th vendor of a silo is. Companies with equal numbers are the same company."""

VENDORS = """
CREATE TABLE {schema}.vendors AS
WITH companies AS (
    SELECT i, {identity} AS company, md5_number_lower('company' || ({identity})) AS h,
           md5_number_lower('vendor{salt}-' || i) AS own
    FROM range(1, {vendors} + 1) AS numbers(i)
), named AS (
    SELECT *,
        (['Acme', 'Beacon', 'Cardinal', 'Delta', 'Evergreen', 'Fairview', 'Granite', 'Harbor', 'Ironwood', 'Juniper',
          'Keystone', 'Lighthouse', 'Meridian', 'Northstar', 'Oakmont', 'Pinnacle', 'Quarry', 'Riverside', 'Summit',
          'Timberline', 'Unity', 'Vanguard', 'Westbrook', 'Yellowstone', 'Zenith'])[1 + company % 25] AS word,
        (['Surgical', 'Medical Supply', 'Pharma', 'Imaging', 'Diagnostics', 'Linens', 'Biotech', 'Orthopedics',
          'Sterile Goods', 'Dental', 'Laboratory', 'Cardiology', 'Nutrition', 'Mobility', 'Textiles', 'Waste Services',
          'Catering', 'Facility Care', 'Optics', 'Respiratory', 'Oncology', 'Anesthesia', 'Wound Care', 'Rehab',
          'Logistics', 'Software', 'Instruments', 'Disposables', 'Radiology', 'Infusion'])
            [1 + (company // 25) % 30] AS trade,
        CASE WHEN company >= 750 THEN ' ' || (1 + company // 750)::INTEGER ELSE '' END AS branch,
        (['Inc', 'Ltd', 'LLC', 'Corp'])[1 + (h % 4)::INTEGER] AS form
    FROM companies
), spelled AS (
    SELECT *, word || ' ' || trade || branch AS stem,
        word || ' ' || left(trade, length(trade) - 2) || right(trade, 1) || branch AS misspelled
    FROM named
)
SELECT '{prefix}-V' || lpad(i::VARCHAR, 4, '0') AS vendor_id,
    {spelling} AS vendor_name,
    CASE WHEN i % {no_tax_id} = 0 THEN NULL
        ELSE lpad((10 + company % 89)::VARCHAR, 2, '0') || '-' || lpad((1000000 + company * 7919)::VARCHAR, 7, '0')
    END AS tax_id,
    trade AS category,
    (['Portland', 'Duluth', 'Fresno', 'Madison', 'Tacoma', 'Dayton', 'Albany', 'Boise'])
        [1 + (h >> 8 & 7)::INTEGER] AS city,
    CASE WHEN own % 100 < 12 THEN NULL
        ELSE 'billing@' || lower(replace(word, ' ', '')) || company || '.example' END AS email,
    (['net 30', 'net 45', 'net 60'])[1 + (own >> 8 & 255)::INTEGER % 3] AS payment_terms,
    DATE '2015-01-01' + (own >> 16 & 2047)::INTEGER AS created_on,
    own >> 32 & 31 <> 0 AS active
FROM spelled
ORDER BY i
"""

PURCHASE_ORDERS = """
CREATE TABLE {schema}.purchase_orders AS
WITH orders AS (
    SELECT i, md5_number_lower('order{salt}-' || i) AS h FROM range(1, {orders} + 1) AS numbers(i)
)
SELECT '{prefix}-PO' || lpad(i::VARCHAR, 6, '0') AS po_id,
    '{prefix}-V' || lpad((1 + ((h & 65535) * (h & 65535) // 4295 * {vendors} // 1000000) % {vendors})::VARCHAR, 4, '0')
        AS vendor_id,
    DATE '2023-01-01' + (i * 1096 // ({orders} + 1))::INTEGER AS order_date,
    CASE WHEN i % {no_department} = 0 THEN NULL ELSE
        (['Surgery', 'Emergency', 'Radiology', 'Pharmacy', 'Laboratory', 'Maternity', 'Facilities', 'Oncology'])
        [1 + (h >> 16 & 7)::INTEGER] END AS department,
    (['gloves', 'catheters', 'sutures', 'contrast agent', 'linens', 'syringes', 'reagents', 'implants', 'monitors',
        'masks'])[1 + ((h >> 20 & 1023) % 10)::INTEGER] AS item,
    (1 + (h >> 30 & 127))::INTEGER AS quantity,
    round(4 + (h >> 38 & 4095) * (h >> 38 & 4095) / 20000.0, 2) AS unit_price,
    round(quantity * unit_price, 2) AS amount,
    (['approved', 'approved', 'approved', 'received', 'received', 'received', 'open', 'cancelled'])
        [1 + (h >> 52 & 7)::INTEGER] AS status
FROM orders
ORDER BY i
"""

INVOICES = """
CREATE TABLE {schema}.invoices AS
WITH billed AS (
    SELECT row_number() OVER (ORDER BY po_id) AS i, p.*, md5_number_lower('invoice{salt}-' || po_id) AS h,
        p.order_date + (5 + (h & 31))::INTEGER AS first_date
    FROM {schema}.purchase_orders AS p
), dated AS (
    SELECT *, CASE WHEN date_trunc('month', first_date) IN ({missing})
        THEN (date_trunc('month', first_date) + INTERVAL 2 MONTH)::DATE + (h >> 5 & 15)::INTEGER
        ELSE first_date END AS moved
    FROM billed
), settled AS (
    SELECT *, CASE WHEN date_trunc('month', moved) IN ({missing}) THEN moved + 31 ELSE moved END AS dated_on FROM dated
), copies AS (
    SELECT *, 0 AS copy FROM settled
    UNION ALL SELECT *, 1 AS copy FROM settled WHERE i % {repeated} = 0
)
SELECT '{prefix}-I' || lpad(i::VARCHAR, 6, '0') || CASE WHEN copy = 1 THEN 'B' ELSE '' END AS invoice_id,
    '{prefix}' || lpad((100000 + i * 7)::VARCHAR, 7, '0') AS invoice_number,
    po_id,
    vendor_id,
    dated_on AS invoice_date,
    round(CASE WHEN i % {outlier} = 0 THEN amount * 50 WHEN i % {overbilled} = 0 THEN amount * 1.35 ELSE amount END, 2)
        AS amount,
    dated_on + 30 AS due_date,
    CASE WHEN i % {unpaid} = 0 THEN NULL ELSE dated_on + (15 + (h >> 16 & 31))::INTEGER END AS paid_date,
    CASE WHEN i % {unpaid} = 0 THEN 'open' ELSE 'paid' END AS status
FROM copies
ORDER BY i, copy
"""
