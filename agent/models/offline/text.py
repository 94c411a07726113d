"""Questions about a text that was handed over, as Python over `context`."""

from __future__ import annotations

import re

from agent.models.offline.words import FILLER, OPERATORS, QUOTED, quotes, spoken

COUNTED = (
    ("ip", r"ips?|ip address(?:es)?|address(?:es)?", r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    ("user", r"users?|usernames?", r"\b[Uu]ser[ =](\w+)"),
    ("level", r"levels?|severity|severities", r"\b(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b"),
    ("hour", r"hours?", r"\b(\d\d):\d\d:\d\d\b"),
)
"""What can be counted in a text: its name, how a question asks for it, how it looks."""
ALL = "summari[sz]e|summary|overview"
SAID = r"(?:that )?(?:mention|contain|say|match)(?:s|es|ing)?"
KNOWN = {*FILLER, "line", "lines", "log", "logs", "text", "texts", "file", "document", "occur", "appear", "context"}
COUNT = """\
import re
from collections import Counter

lines = [line for _, line in context.grep({wanted!r}, {flags})]
missing = [word for word in {words!r} if not context.grep(re.escape(word), re.IGNORECASE, limit=1)]
"""
LINES = """\
rows = [{"text": line[:200]} for line in lines[:5]]
result = {"matching_lines": len(lines), "of_lines": len(context), "row_count": len(lines), "rows": rows}
"""
KINDS = """\
found = Counter(m for line in lines for m in set(re.findall({pattern!r}, line)))
rows = [{{{name!r}: match, "lines": count}} for match, count in found.most_common({most})]
result = {{"row_count": len(found), "rows": rows}}
"""
MISSING = """\
if missing:
    result = {"not_found": missing}"""
READ = "for line in context:\n    print(line)"


def text_code(question: str) -> tuple[str, list[str]]:
    """Code that counts something in the lines that are meant, or the lines; and the words that can't be used."""
    exact, text = quotes(question), " ".join(spoken(QUOTED.sub(" ", question)))
    if re.match(rf"(?:please )?(?:{ALL})\b", text) and not set(text.split()) & OPERATORS - {"what"}:
        return READ, []
    how = r"(?:which|what|how many(?: different)?|top (\d+)|most (?:common|frequent)|lines (?:per|by)|(?:per|by))"
    kind = next(((kind, m) for kind in COUNTED if (m := re.search(rf"\b{how} (?:{kind[1]})\b", text))), None)
    (name, _, pattern), asked = kind or (("", "", ""), re.search(r"\bhow (?:many|long|big)\b|\bfind\b|\bsearch\b|\bgrep\b|\bwhich lines\b|\b(?:number|count) of\b", text))
    rest = re.sub(re.escape(asked[0]), " ", text, count=1) if asked else text
    said = re.search(rf"\b{SAID}\b", rest)
    rest = re.sub(rf"\b{SAID}\b|\bfor\b", " ", re.sub(r"\b(?:the )?(?:most|most often|how many|how often)\b(?! \w+ (?:than|of))", " ", rest) if name else rest)
    words = [word for word in rest.split() if word not in KNOWN]
    unused = [word for word in words if word in OPERATORS or not re.match(r"\w", word) or (word.isdigit() and not said)]
    unused += [] if asked else [word for word in rest.split() if word not in unused] or ["what to count"]
    words = [re.sub(r"(?<=...[^s])s$", "", word) for word in words]
    loose = "".join(rf"(?=.*\b{re.escape(word)})" for word in words)
    wanted, flags = "|".join(map(re.escape, exact)) or loose, 0 if exact and not words else int(re.IGNORECASE)
    if exact and words:
        wanted = f"{loose}.*(?:{wanted})"
    size = int(asked[1]) if name and asked and asked.re.groups and asked[1] else 10
    body = KINDS.format(pattern=pattern, name=name, most=size) if name else LINES
    return COUNT.format(wanted=wanted, flags=flags, words=[] if said else words) + body + MISSING, unused
