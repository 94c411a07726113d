# ruff: noqa: E501 - a question and its truth stand side by side
"""Questions that people ask, with their truths as SQL; None where the rules can't know and must not give a figure.

A truth that ends in LIMIT is the beginning of a longer answer. `v`, `o`, `i` are the sample's vendors, purchase orders
and invoices of all silos.
"""

from __future__ import annotations

ANSWERED = {
    "How many vendors are there?": "SELECT count(*) FROM v",
    "How many invoices do we have?": "SELECT count(*) FROM i",
    "How many invoices are there by silo?": "SELECT silo, count(*) FROM i GROUP BY 1",
    "How many active vendors are there?": "SELECT count(*) FROM v WHERE active",
    "How many active vendors are in silo north?": "SELECT count(*) FROM v WHERE active AND silo = 'north'",
    "active vendors in lakeside": "SELECT count(*) FROM v WHERE active AND silo = 'lakeside'",
    "How many vendors are there in Portland?": "SELECT count(*) FROM v WHERE city = 'Portland'",
    "What is the total amount of all invoices?": "SELECT round(sum(amount), 2) FROM i",
    "What's the average invoice amount?": "SELECT round(avg(amount), 2) FROM i",
    "Total invoice amount by silo": "SELECT silo, round(sum(amount), 2) FROM i GROUP BY 1",
    "How many open invoices are there?": "SELECT count(*) FROM i WHERE status = 'open'",
    "How many invoices are paid?": "SELECT count(*) FROM i WHERE status = 'paid'",
    "How many invoices were paid in 2025?": "SELECT count(*) FROM i WHERE year(paid_date) = 2025",
    "Top 5 vendors by invoice amount":
        "SELECT vendor_id, round(sum(amount), 2) FROM i GROUP BY 1 ORDER BY 2 DESC LIMIT 5",
    "Which department has the most purchase orders?":
        "SELECT department, count(*) FROM o GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "Which department spends the most?":
        "SELECT department, round(sum(amount), 2) FROM o GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "How many orders come from Radiology?": "SELECT count(*) FROM o WHERE department = 'Radiology'",
    "How many purchase orders from Radiology were cancelled?":
        "SELECT count(*) FROM o WHERE department = 'Radiology' AND status = 'cancelled'",
    "total amount of cancelled purchase orders": "SELECT round(sum(amount), 2) FROM o WHERE status = 'cancelled'",
    "Show me the number of invoices per month in 2024":
        "SELECT date_trunc('month', invoice_date)::DATE, count(*) FROM i WHERE year(invoice_date) = 2024 GROUP BY 1",
    "purchase orders by status": "SELECT status, count(*) FROM o GROUP BY 1",
    "average unit price by item": "SELECT item, round(avg(unit_price), 2) FROM o GROUP BY 1",
    "How many vendors have no tax id?": "SELECT count(*) FROM v WHERE tax_id IS NULL",
    "How many orders have no department?": "SELECT count(*) FROM o WHERE department IS NULL",
    "How many vendors were created in 2016?": "SELECT count(*) FROM v WHERE year(created_on) = 2016",
    "What is the highest unit price?": "SELECT round(max(unit_price), 2) FROM o",
    "median amount of purchase orders": "SELECT round(median(amount), 2) FROM o",
    "How many different cities are the vendors in?": "SELECT count(DISTINCT city) FROM v",
    "vendors by category and city": "SELECT category, city, count(*) FROM v GROUP BY 1, 2",
    "How many invoices over 50000?": "SELECT count(*) FROM i WHERE amount > 50000",
    "How many invoices are over 50k?": "SELECT count(*) FROM i WHERE amount > 50000",
    "How many invoices have an amount of more than 100,000?": "SELECT count(*) FROM i WHERE amount > 100000",
    "Number of invoices per silo and status": "SELECT silo, status, count(*) FROM i GROUP BY 1, 2",
    "How many orders for implants were there in lakeside in 2023?":
        "SELECT count(*) FROM o WHERE item = 'implants' AND silo = 'lakeside' AND year(order_date) = 2023",
    "total quantity of purchase orders for contrast agent":
        "SELECT sum(quantity) FROM o WHERE item = 'contrast agent'",
    "How many invoices since March 2024?": "SELECT count(*) FROM i WHERE invoice_date >= '2024-03-01'",
    "How many purchase orders were there before 2024?": "SELECT count(*) FROM o WHERE order_date < '2024-01-01'",
    "Which silo has the fewest vendors?": "SELECT silo, count(*) FROM v GROUP BY 1 ORDER BY 2 LIMIT 1",
    "average amount of orders by department for the valley":
        "SELECT department, round(avg(amount), 2) FROM o WHERE silo = 'valley' GROUP BY 1",
    "How many suppliers do we have per hospital?": "SELECT silo, count(*) FROM v GROUP BY 1",
    "monthly purchase orders":
        "SELECT date_trunc('month', order_date)::DATE, count(*) FROM o GROUP BY 1",
    "highest purchase order amount in Oncology":
        "SELECT round(max(amount), 2) FROM o WHERE department = 'Oncology'",
    "Which item has the highest average unit price?":
        "SELECT item, round(avg(unit_price), 2) FROM o GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "bottom 3 cities by number of vendors": "SELECT city, count(*) FROM v GROUP BY 1 ORDER BY 2, 1 LIMIT 3",
    "How many invoices are there per month?":
        "SELECT date_trunc('month', invoice_date)::DATE, count(*) FROM i GROUP BY 1",
    "Which month had the most invoices?":
        "SELECT date_trunc('month', invoice_date)::DATE, count(*) FROM i GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "How many vendors have an invoice in 2024?":
        "SELECT count(DISTINCT vendor_id) FROM i WHERE year(invoice_date) = 2024",
    "Which months are missing in the invoices?":
        "SELECT * FROM (VALUES ('lakeside', DATE '2024-03-01'), ('lakeside', DATE '2024-04-01'), "
        "('valley', DATE '2024-11-01'))",
    "Which invoices have an amount over 4000000?":
        "SELECT * FROM i WHERE amount > 4000000",
    "How many vendors with category 'Wound Care' are there?": "SELECT count(*) FROM v WHERE category = 'Wound Care'",
    "How many departments are there in the purchase orders?": "SELECT count(DISTINCT department) FROM o",
    "Sum of the quantity by item in the year 2025":
        "SELECT item, sum(quantity) FROM o WHERE year(order_date) = 2025 GROUP BY 1",
}  # fmt: skip

BEYOND = {
    "Average days between invoice date and paid date": ("days", "between"),
    "How many invoices were paid within 10 days?": ("within", "10", "days"),
    "How many invoices are overdue?": ("overdue",),
    "How many employees do we have?": ("employees",),
    "unpaid invoices": ("unpaid",),
    "How many inactive vendors are there?": ("inactive",),
    "How many vendors are not active?": ("not",),
    "How many invoices are over 50k euros?": ("euros",),
    "What percentage of invoices is open?": ("percentage",),
    "How many invoices per vendor on average?": ("average",),
    "Which vendors raised their prices?": ("raised", "prices"),
    "Why did spending drop in November 2024?": ("why", "drop"),
    "How does lakeside compare with north?": ("compare",),
    "How many vendors except those in Portland?": ("except",),
    "What is the total tax we paid?": ("total",),
    "Compare the invoice amount in 2023 with 2024": ("2024",),
    "How many big invoices are there?": ("big",),
    "Who is our best vendor?": ("who", "best"),
    "How many vendors have more than 100 invoices?": ("more", "100"),
    "How many purple vendors are there?": ("purple",),
    "average invoice amount excluding outliers": ("excluding", "outliers"),
    "how many invoices on weekends": ("weekends",),
    "How many gloves did we order?": ("gloves",),
    "share of orders by department": ("share",),
    "How many vendors have both invoices and orders?": ("both",),
    "top vendor in each silo": (),
    "Which invoices are billed above their order?": ("billed", "above"),
    "How many new vendors did we get?": ("new",),
    "How many purchase orders between 100 and 200?": ("between", "100", "200"),
    "correlation between quantity and unit price": ("correlation",),
    "growth of invoices by year": ("growth",),
    "list recent invoices": ("recent",),
    "Which months are missing in the vendors?": ("months",),
    "How many invoices in the last 90 days?": ("last", "90", "days"),
    "How many invoices in Radiology or Surgery?": ("or",),
    "total amount of invoices in north and lakeside": ("lakeside",),
    "What is the weather in Portland?": ("weather",),
    "Total amount": (),
    "How many invoices are due in 30 days?": ("30", "days"),
    "second largest invoice": ("second",),
    "invoices and orders by month": (),
}
"""With words that the refusal has to name."""

FOLLOWED: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("How many invoices are there?", "And by month?"),
     "SELECT date_trunc('month', invoice_date)::DATE, count(*) FROM i GROUP BY 1"),
    (("Total invoice amount by silo", "And last year?"),
     "SELECT silo, round(sum(amount), 2) FROM i WHERE year(invoice_date) = 2025 GROUP BY 1"),
    (("How many invoices are there by silo, and which months are missing in the invoices?", "And by month?"),
     "SELECT date_trunc('month', invoice_date)::DATE, count(*) FROM i GROUP BY 1"),
    (("How many invoices are there in 2024?", "And in 2023?"), "SELECT count(*) FROM i WHERE year(invoice_date) = 2023"),
    (("How many orders come from Radiology?", "And Surgery?", "And by silo?"),
     "SELECT silo, count(*) FROM o WHERE department = 'Surgery' GROUP BY 1"),
    (("How many vendors are there?", "How many of them are active?"), "SELECT count(*) FROM v WHERE active"),
    (("How many vendors are there?", "And how many invoices?"), "SELECT count(*) FROM i"),
    (("average amount of orders by department", "And the median?"),
     "SELECT department, round(median(amount), 2) FROM o GROUP BY 1"),
    (("Top 5 vendors by invoice amount", "And in 2024?"),
     "SELECT vendor_id, round(sum(amount), 2) FROM i WHERE year(invoice_date) = 2024 GROUP BY 1 ORDER BY 2 DESC LIMIT 5"),
    (("How many invoices are overdue?", "And by month?"), None),
    (("How many invoices are there?", "And the ones that nobody checked?"), None),
    (("How many invoices are there?", "And the average?"), None),
    (("How many invoices are there?", "Why?"), None),
    (("How many invoices are there?", "And by colour?"), None),
    (("How many invoices are there?", "And the others?"), None),
    (('How many vendors are there?', 'Which ones are in Portland?'), None),
    (('How many vendors are there by city?', 'And without Portland?'), None),
    (('total amount of purchase orders', 'And for invoices?'), None),
    (('total amount of purchase orders', 'And per department?'), 'SELECT department,round(sum(amount),2) FROM o GROUP BY 1'),
    (('total amount of purchase orders in 2024', 'And per department?', 'And the average?'), 'SELECT department,round(avg(amount),2) FROM o WHERE year(order_date)=2024 GROUP BY 1'),
    (('How many invoices are there?', 'And twice as many?'), None),
    (('How many invoices are there in 2024?', 'And before?'), None),
    (('How many invoices are there?', 'And last month?'), "SELECT count(*) FROM i WHERE date_trunc('month',invoice_date)=DATE '2026-10-01'"),
    (('hello', 'How many vendors?'), 'SELECT count(*) FROM v'),
    (('How many vendors are there?', 'thanks', 'And by city?'), 'SELECT city,count(*) FROM v GROUP BY 1'),
    (('Average unit price by item', 'What about quantity?'), 'SELECT item,round(avg(quantity),2) FROM o GROUP BY 1'),
    (('How many orders by department?', 'Only Radiology?'), None),
)  # fmt: skip

OWN: dict[str, str | None] = {
    "Average price by region": "SELECT region, round(avg(price), 2) FROM sales GROUP BY 1",
    "How many rows are there?": "SELECT count(*) FROM sales",
    "How many in the North?": "SELECT count(*) FROM sales WHERE region = 'North'",
    "How many units were sold in the south region?": "SELECT sum(units) FROM sales WHERE region = 'South'",
    "Total units by product": "SELECT product, sum(units) FROM sales GROUP BY 1",
    "Which region has the highest average price?":
        "SELECT region, round(avg(price), 2) FROM sales GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "How many sales are online?": "SELECT count(*) FROM sales WHERE online",
    "How many sales of green tea since 2024?":
        "SELECT count(*) FROM sales WHERE product = 'Green tea' AND sold_on >= '2024-01-01'",
    "How many sales have no customer?": "SELECT count(*) FROM sales WHERE customer IS NULL",
    "Average price per kilo": None,
    "Price by region": None,
    "How many sales were returned?": None,
    "average price without discount": None,
    "Which product is most profitable?": None,
    "How many sales to Ann?": "SELECT count(*) FROM sales WHERE customer = 'Ann'",
    "How many sales in Lima?": None,
    "Which products are there?": "SELECT product, count(*) FROM sales GROUP BY 1",
    "sales per year": "SELECT year(sold_on), count(*) FROM sales GROUP BY 1",
    "How many rows by region and product?": "SELECT region,product,count(*) FROM sales GROUP BY 1,2",
    "What did Ann buy?": None,
    "How many customers are there?": "SELECT count(DISTINCT customer) FROM sales",
    "total price": "SELECT sum(price) FROM sales",
    "What is the revenue?": None,
    "average units per sale": None,
    "How many vendors are there?": "SELECT count(*) FROM v",
    "cheapest product": None,
    "sales last year": "SELECT count(*) FROM sales WHERE year(sold_on)=2025",
    "How many onlines?": None,
    "How many offline sales?": None,
    "how many prices": None,
    "How many green tea": None,
}  # fmt: skip
"""About one file of one's own, which needs no name, beside the sample."""

TEXT: dict[str, list[tuple[object, ...]] | None] = {
    "Which IPs fail most?": [("173.234.31.186", 2), ("52.80.34.196", 1)],
    "How many lines are there?": [(6,)],
    "how many lines mention invalid user": [(3,)],
    "How many lines contain 'no such thing'?": [(0,)],
    "top 1 IPs": [("173.234.31.186", 4)],
    "how many lines per hour": [("07", 4), ("06", 2)],
    "Which users are invalid?": [("webmaster", 2), ("test9", 1)],
    "Which IPs are malicious?": None,
    "Which IPs never failed?": None,
    "Which IPs failed more than 3 times?": None,
    "How many logins took longer than 5 seconds?": None,
    "Why did the server crash?": None,
    "Which country do the IPs come from?": None,
    "average time between failures": None,
    "Which IPs fail most per day?": None,
    "What was the first error?": None,
    "How many lines do not mention invalid?": None,
    "How many IPs are there?": [("173.234.31.186", 4), ("52.80.34.196", 2)],
    "who logged in": None,
    "How many root logins succeeded?": None,
    "How many lines contain root?": [(2,)],
    "show the last 10 lines": None,
    "How many users and IPs?": None,
    "errors by hour and ip": None,
    "Which IPs do not fail?": None,
    "Which IP fails the least?": None,
    "top 5 users": [("webmaster", 2), ("test9", 1)],
    "describe the log": None,
    "Was there an attack?": None,
}

SALES = """CREATE OR REPLACE TABLE files.data.sales AS SELECT * FROM (VALUES
    (1, DATE '2023-05-01', 'North', 'Green tea', 'Ann', 4, 2.5::DOUBLE, true),
    (2, DATE '2023-06-02', 'South', 'Coffee', 'Bob', 3, 3.5, false),
    (3, DATE '2024-01-03', 'North', 'Coffee', NULL, 1, 3.0, true),
    (4, DATE '2024-02-04', 'South', 'Green tea', 'Ann', 7, 2.0, false),
    (5, DATE '2025-03-05', 'East', 'Cocoa', 'Cyd', 2, 5.0, false)
) AS s(sale_id, sold_on, region, product, customer, units, price, online)"""

LOG = """\
Dec 10 06:55:46 sshd[24200]: Invalid user webmaster from 173.234.31.186
Dec 10 06:55:48 sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2
Dec 10 07:07:38 sshd[24206]: Invalid user test9 from 52.80.34.196
Dec 10 07:08:28 sshd[24208]: Failed password for root from 173.234.31.186 port 39257 ssh2
Dec 10 07:08:29 sshd[24208]: Failed password for root from 52.80.34.196 port 39257 ssh2
Dec 10 07:08:30 sshd[24208]: Connection closed by 173.234.31.186 [preauth]
"""

HELD_OUT: dict[str, str | None] = {
    "number of vendors": "SELECT count(*) FROM v",
    "How much did we spend on implants?": "SELECT round(sum(amount),2) FROM o WHERE item='implants'",
    "What's the biggest purchase order?": "SELECT * FROM o ORDER BY amount DESC LIMIT 1",
    "show me all vendors in Tacoma": "SELECT * FROM v WHERE city='Tacoma'",
    "Which vendors have no email?": "SELECT * FROM v WHERE email IS NULL",
    "how many vendors per city in silo valley?": "SELECT city,count(*) FROM v WHERE silo='valley' GROUP BY 1",
    "Number of cancelled orders per department":
        "SELECT department,count(*) FROM o WHERE status='cancelled' GROUP BY 1",
    "average quantity of syringes orders": "SELECT round(avg(quantity),2) FROM o WHERE item='syringes'",
    "Which city has the most active vendors?":
        "SELECT city,count(*) FROM v WHERE active GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "How many invoices did vendor N-V0001 send?": "SELECT count(*) FROM i WHERE vendor_id='N-V0001'",
    "What was the total spend in 2024 by silo on purchase orders?":
        "SELECT silo, round(sum(amount),2) FROM o WHERE year(order_date)=2024 GROUP BY 1",
    "How many POs are open?": "SELECT count(*) FROM o WHERE status='open'",
    "invoices by quarter": "SELECT date_trunc('quarter',invoice_date)::DATE,count(*) FROM i GROUP BY 1",
    "What is the average order amount in Surgery and how many orders does it have?":
        "SELECT round(avg(amount), 2) FROM o WHERE department = 'Surgery'",
    "Top 3 items by quantity": "SELECT item,sum(quantity) FROM o GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
    "Which department ordered the most gloves?":
        "SELECT department,sum(quantity) FROM o WHERE item='gloves' GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "cheapest item": "SELECT item,min(unit_price) FROM o GROUP BY 1 ORDER BY 2 LIMIT 1",
    "how many purchase orders in june 2023":
        "SELECT count(*) FROM o WHERE year(order_date)=2023 AND month(order_date)=6",
    "How many invoices were due in 2024?": "SELECT count(*) FROM i WHERE year(due_date)=2024",
    "How many vendors offer net 45 payment terms?": "SELECT count(*) FROM v WHERE payment_terms='net 45'",
    "How many invoices are not paid yet?": None,
    "how long does it take to pay an invoice": None,
    "How many open invoices are older than 60 days?": None,
    "What is our most expensive vendor?": None,
    "median invoice by vendor category": None,
    "Did spending go up in 2025?": None,
    "list vendors alphabetically": None,
    "how many invoices did north and valley get together": None,
    "total amount of the 10 largest invoices": None,
    "How many vendors had no orders in 2024?": None,
    "What does the vendors table look like?": None,
    "which vendors joined after 2018": None,
    "Total amount of purchase orders by vendor city": None,
    "orders over 1000 and under 2000": "SELECT count(*) FROM o WHERE amount>1000 AND amount<2000",
    "How many orders had a unit price of at least 100 and department Surgery?":
        "SELECT count(*) FROM o WHERE unit_price>=100 AND department='Surgery'",
    "How many orders have a quantity over 5 and a unit price under 10?":
        "SELECT count(*) FROM o WHERE quantity>5 AND unit_price<10",
    "vendors created before 2016 in Boise": "SELECT count(*) FROM v WHERE year(created_on)<2016 AND city='Boise'",
    "invoices by week in June 2024":
        "SELECT date_trunc('week',invoice_date)::DATE,count(*) FROM i WHERE date_trunc('month',invoice_date)=DATE '2024-06-01' GROUP BY 1",
    "What is the amount of invoice N-I000001?": "SELECT sum(amount) FROM i WHERE invoice_id='N-I000001'",
    "number of vendors by department": "SELECT department,count(DISTINCT vendor_id) FROM o GROUP BY 1",
    "invoices with no paid date in 2024":
        "SELECT count(*) FROM i WHERE paid_date IS NULL AND year(invoice_date)=2024",
    "Total invoice amount by month and silo for 2025":
        "SELECT date_trunc('month',invoice_date)::DATE,silo,round(sum(amount),2) FROM i WHERE year(invoice_date)=2025 GROUP BY 1,2",
    "what is the most common payment term?":
        "SELECT payment_terms,count(*) FROM v GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "How many orders does each department have?": "SELECT department,count(*) FROM o GROUP BY 1",
    "minimum amount of invoices": "SELECT min(amount) FROM i",
    "How many vendors does silo north have that are active?": "SELECT count(*) FROM v WHERE silo='north' AND active",
    "total number of invoices": "SELECT count(*) FROM i",
    "Which vendor has the highest total amount of invoices?":
        "SELECT vendor_id,round(sum(amount),2) FROM i GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    "Which orders have no department?": "SELECT * FROM o WHERE department IS NULL",
    "total amount of purchase orders in 2023 by department":
        "SELECT department,round(sum(amount),2) FROM o WHERE year(order_date)=2023 GROUP BY 1",
    "smallest invoice": "SELECT * FROM i ORDER BY amount LIMIT 1",
    "How many vendors sell gloves?": None,
    "How many invoices per month on average?": None,
    "How many vendors have no invoices?": None,
    "total amount by vendor for the top silo": None,
    "How many orders with quantity 5 or more": None,
    "How many vendors in Boise or Albany": None,
    "how many invoices in the first quarter of 2024": None,
    "total for Radiology": None,
    "What is the status of invoice N-I000001?": None,
    "how many invoices does the average vendor have": None,
    "How many more invoices does north have than valley?": None,
    "How many vendors used to be active": None,
    "how many invoices did we pay last month": None,
    "sum of amount and quantity of orders": None,
    "average amount of paid and open invoices separately": None,
    "Which silo is missing invoices": None,
    "Which department has the least expensive item?": None,
    "Does north have more vendors than lakeside?": None,
    "How many vendors have the same city?": None,
    "what share of vendors is active": None,
    "How many vendors are there now vs last year?": None,
    "Total order amount in silo north excluding cancelled": None,
    "vendor with the highest invoice amount": None,
    "average number of invoices per month": None,
    "number of orders by department over 100": None,
    "How many invoices are above average?": None,
    "How many active and inactive vendors are there?": None,
    "invoices from January to March 2024": None,
    "invoices in 2024 and 2025": None,
    "invoices in March": None,
    "How many vendors have an email in Portland?": None,
    "Which vendor has the highest amount of invoices?": None,
    "highest paid vendor": None,
    "How many purchase orders lead to an invoice?": None,
    "total amount with tax of invoices": None,
    "How many vendors start with A?": None,
    "How many orders were at most 10 days late?": None,
    "invoices due tomorrow": None,
    "running total of invoice amount by month": None,
    "rank the departments by amount": None,
    "which invoices exceed their order": None,
    "How many orders are neither open nor cancelled?": None,
    "How many vendors are called Acme?": None,
    "net amount of invoices": None,
    "Who approved the purchase orders?": None,
    "how many invoice vendors are there": "SELECT count(DISTINCT vendor_id) FROM i",
    "average order by department": "SELECT department, round(avg(amount), 2) FROM o GROUP BY 1",
    "the 3 oldest vendors": None,
    "How many invoices does it have?": None,
    "total amount of invoices paid late": None,
    "How many invoices were there in 2024 compared to 2023?": None,
    "what is the amount": None,
    "Is 2024 better than 2023 in orders?": None,
    "How many invoices cost less than the average?": None,
    "how many invoices, roughly?": None,
    "vendors by name": None,
    "how many unique vendors are there": None,
    "When was the last invoice?": None,
    "Which vendor was created first?": None,
    "invoice amount minus order amount": None,
}  # fmt: skip
"""Written after the rules and not looked at while they were made: right or refused, never wrong."""
