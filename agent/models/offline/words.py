"""A question's words: which say nothing by themselves, and which change what is asked and may never be passed over."""

import re

SYNONYMS = {"hospital": "silo", "supplier": "vendor", "spent": "spend", "spending": "spend"}
QUOTED = re.compile(r"(?<!\w)([\"'`‘“])(.{2,80}?)(?:\1|[’”])")


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRONOUNS = "it|its|them|they|their|these|those"
FILLER = words_of(
    "a all also am an and any are as at be been come came could did do does find for from get give given got had has "
    "have here i in is list made many may me my of on our please record recorded s show tell that the there this to us "
    "was we were what where which with you your exist can placed issued based still"
)
OPERATORS = words_of(
    "above after again ago almost apart average avg before below between beyond both bottom but by change compare "
    "compared correlation despite difference each either empty ever every except excluding fewer first greater growth "
    "highest how if isn't aren't don't didn't wasn't weren't largest last latest least less likely longest lowest max "
    "mean median min minus missing more most much neither never newest next no none nor not null older oldest only or "
    "other others outside over overdue per percent percentage previous rate ratio recent same second share shortest "
    "since smallest sum than then third top total trend under unless until versus vs when whether who whose why will "
    "within without yet against half twice during"
)


def quotes(text: str) -> list[str]:
    return [found.group(2) for found in QUOTED.finditer(text)]


def spoken(text: str) -> list[str]:
    """Words, plain numbers and signs: 50k and 50,000 are 50000; only punctuation is left out."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", f"{text} ".replace("’s ", " ").replace("'s ", " "))
    text = re.sub(r"\b(\d+(?:\.\d+)?)(k|m)\b", lambda n: f"{float(n[1]) * {'k': 1e3, 'm': 1e6}[n[2]]:.12g}", text)
    return re.findall(r"\d+\.\d+|\w+(?:['-]\w+)*|[^\w\s.,?!:;()\[\]\"'`‘’“”]", text)


def stem(word: str) -> str:
    """In singular, as names are compared."""
    return re.sub(r"(?<=..[^sui])s$", "", re.sub(r"ies$", "y", word))


def tokens(name: str) -> list[str]:
    return [stem(part) for part in re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())]
