"""Questions about a text that was handed over, as Python over `context`."""

from __future__ import annotations

import re

from agent.offline.words import FILLER, QUOTED, quotes, words

ABOUT_TEXT = re.compile(
    r"\b(?:lines?|logs?|texts?|files?|documents?|mentions?|grep|ips?|ip address\w*|users?|says?|contains?|errors?)\b"
)
COUNTED = (
    ("ip", r"\bips?\b|\baddress", r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    ("user", r"\busers?\b(?! \w+ from)|\busernames?\b|\baccounts?\b", r"\b[Uu]ser[ =](\w+)"),
    ("level", r"\blevels?\b|\bseverity|\bwarnings?\b", r"\b(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b"),
    ("hour", r"\bhours?\b|\bover time\b", r"\b(\d\d):\d\d:\d\d\b"),
)
"""What can be counted in a text: its name, how a question asks for it, how it looks."""

KNOWN = FILLER | {"line", "log", "text", "file", "document", "mention", "contain", "match", "time", "often"}

COUNT = """\
import re
from collections import Counter

wanted = {wanted!r}
lines = context.grep(wanted, {flags}) if wanted else []
counted = "the lines that match" if lines else "all lines"
lines = lines or list(enumerate(context))
found = Counter(match for _, line in lines for match in set(re.findall({pattern!r}, line)))
top = [{{{name!r}: match, "lines": count}} for match, count in found.most_common({most})]
print(f"{{len(lines):,}} lines, {{len(found):,}} different")
result = {{"counted": counted, "lines": len(lines), "row_count": len(found), "rows": top}}"""

SEARCH = """\
lines = context.grep({wanted!r}, {flags})
first = [{{"line": number + 1, "text": line[:200]}} for number, line in lines[:5]]
print(f"{{len(lines):,}} of {{len(context):,}} lines")
result = {{"matching_lines": len(lines), "of_lines": len(context), "row_count": len(lines), "rows": first}}"""

READ = """\
for line in context:
    print(line)"""


def text_code(question: str) -> str:
    """Counts something in the lines that are meant, or the lines; else prints the text, for others to read."""
    quoted, text = quotes(question), QUOTED.sub("", question.lower())
    lines = re.search(r"\blines\b.*\b(?:mention|contain|say|match)", text)
    counted = None if lines else next((found for found in COUNTED if re.search(found[1], text)), None)
    said = re.search(r"\b(?:mention|contain|say|match|with|about)\w*\s+(?:the word\s+)?(.+)", text)
    meant = re.sub(counted[1], "", text) if counted else said.group(1) if said else text
    loose = [word for word in words(meant) if word not in KNOWN and not word.isdigit()]
    wanted = "|".join(map(re.escape, quoted)) or "".join(f"(?=.*{re.escape(word)})" for word in loose)
    flags = 0 if quoted else int(re.IGNORECASE)
    if counted:
        most = re.search(r"\btop (\d+)", text)
        return COUNT.format(
            wanted=wanted, flags=flags, pattern=counted[2], name=counted[0], most=most.group(1) if most else 10
        )
    if quoted or said or re.search(r"\bhow (?:many|long|big)|\bfind|\bsearch|\bgrep|\bwhich lines", text):
        return SEARCH.format(wanted=wanted, flags=flags)
    return READ
