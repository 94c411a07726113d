"""The words that fill the slots of templates."""

from __future__ import annotations


def words(text: str) -> list[str]:
    return text.split()


CITIES = words("""
Aarhus Antwerp Athens Bari Basel Bergen Bilbao Bonn Bordeaux Braga Bremen Bruges Cork Delft Dresden Dublin Ghent
Graz Jena Kiel Krakow Leeds Lille Linz Lisbon Lucca Lyon Malmo Mainz Milan Nantes Nice Oslo Oulu Padua Parma Pisa
Porto Riga Rouen Seville Siena Split Tartu Turin Turku Utrecht Verona Vigo York Zadar Zurich""")

WORDS: dict[str, list[str]] = {
    "city": CITIES,
    "person": [
        f"{first} {last}"
        for first in words("Ada Bruno Clara Dario Edith Felix Greta Hugo Irene Jonas Karin")
        for last in words("Abbott Bergman Castro Dumont Eriksen Fontana Grieg Holm Ivanov Jensen")
    ],
    "thing": words("""
barometer bellows bridge canal carousel clavichord compass ferry furnace glacier harpoon kiln lantern lathe
lighthouse loom metronome organ parachute pendulum printing-press sextant spindle stapler telegraph theodolite
tramway turbine typewriter viaduct windmill zeppelin"""),
    "animal": words("badger crane eel falcon gannet heron ibex jackdaw lynx marten newt otter puffin raven stork vole"),
    "goods": words("""
bricks cement coffee cork cotton flour glass hops ink lamps linen olives paper pipes rope salt soap tiles tin wool"""),
    "weekday": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": words("January February March April May June July August September October November December"),
}

SUPPLIERS = [
    f"{first} {second}"
    for first in words("""
Amber Beacon Birch Castle Cedar Clover Copper Coral Delta Ember Falcon Fern Flint Granite Harbour Hazel Heron Iron
Ivory Juniper Lantern Laurel Linden Maple Marble Meadow Mill North Oak Orchard Pearl Pine Quarry Raven River Rowan
Sable Silver Slate Stone Summit Thistle Tulip Velvet Willow Winter""")
    for second in words("""
Brothers Cargo Carriers Company Freight Goods Group Haulage House Import Lines Logistics Mills Partners Sons Stores
Supply Trade Traders Transport Union Wharf Works Yard""")
]
