"""Questions about a text that was handed over, as Python over `context`."""

from __future__ import annotations

import re

from agent.models.offline.words import FILLER, QUOTED, quotes, words

ABOUT_TEXT = r"\b(?:lines?|logs?|texts?|files?|documents?|mentions?|grep|ips?|users?|says?|contains?|errors?)\b"
COUNTED = (
    ("ip", r"\bips?\b|\baddress", r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    ("user", r"\busers?\b(?! \w+ from)|\busernames?\b|\baccounts?\b", r"\b[Uu]ser[ =](\w+)"),
    ("level", r"\blevels?\b|\bseverity|\bwarnings?\b", r"\b(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b"),
    ("hour", r"\bhours?\b|\bover time\b", r"\b(\d\d):\d\d:\d\d\b"),
)
"""What can be counted in a text: its name, how a question asks for it, how it looks."""
KNOWN = {*FILLER, "line", "log", "text", "document", "mention", "contain", "say", "match", "time", "search"}

SEARCH = """\
lines = context.grep({wanted!r}, {flags})
rows = [{{"line": number + 1, "text": line[:200]}} for number, line in lines[:5]]
result = {{"matching_lines": len(lines), "of_lines": len(context), "row_count": len(lines), "rows": rows}}"""
COUNT = """\
import re
from collections import Counter

found = Counter(m for _, line in context.grep({wanted!r}, {flags}) for m in set(re.findall({pattern!r}, line)))
rows = [{{{name!r}: match, "lines": count}} for match, count in found.most_common({most})]
result = {{"row_count": len(found), "rows": rows}}"""
READ = "for line in context:\n    print(line)"


def text_code(question: str) -> str:
    """Counts something in the lines that are meant, or the lines; else prints the text, for others to read."""
    exact, text = quotes(question), QUOTED.sub("", question.lower())
    said = re.search(r"\b(?:mention|contain|say|match|with|about)\w*\s+(.+)", text)
    lines = re.search(r"\blines\b.*\b(?:mention|contain|say|match)", text)
    name, asked, pattern = next((kind for kind in COUNTED if not lines and re.search(kind[1], text)), ("", "", ""))
    meant = words(re.sub(asked, "", said[1] if said else text))
    loose = "".join(f"(?=.*{re.escape(word)})" for word in meant if word not in KNOWN and not word.isdigit())
    wanted, flags = "|".join(map(re.escape, exact)) or loose, 0 if exact else int(re.IGNORECASE)
    if name:
        most = re.search(r"\btop (\d+)", text)
        return COUNT.format(wanted=wanted, flags=flags, pattern=pattern, name=name, most=most[1] if most else 10)
    searches = exact or said or re.search(r"\bhow (?:many|long|big)|\bfind|\bsearch|\bgrep|\bwhich lines", text)
    return SEARCH.format(wanted=wanted, flags=flags) if searches else READ
