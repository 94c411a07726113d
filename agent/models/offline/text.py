"""Questions about a text that was handed over, as Python over `context`."""

import re

from agent.models.offline.words import FILLER, OPERATORS, QUOTED, quotes, spoken, stem, words_of

COUNTED = {
    r"ips?|(?:ip )?address(?:es)?": ("ip", r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    r"users?|usernames?": ("user", r"\b[Uu]ser[ =](\w+)"),
    r"levels?|severity": ("level", r"\b(DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL)\b"),
    r"hours?": ("hour", r"\b(\d\d):\d\d:\d\d\b"),
}
"""What can be counted in a text: how a question asks for it, its name, how it looks."""
SAID = r"\b(?:mention|contain|say|match)(?:s|es|ing)?\b|\bfor\b"
KNOWN = FILLER | words_of("line lines log logs text texts file document occur appear most often that")
ASKED = r"\b(?:how (?:many|long|big)|find|search|grep|which lines|number of|count of)\b"
COUNT = """\
import re
from collections import Counter

lines = [line for _, line in context.grep({wanted!r}, {flags})]
found = Counter(match for line in lines for match in set(re.findall({pattern!r}, line)))
rows = [{{{name!r}: match, "lines": count}} for match, count in found.most_common({most})]
missing = [word for word in {words!r} if not context.grep(re.escape(word), re.IGNORECASE, limit=1)]
result = {{"lines_with": {told!r}, "matching_lines": len(lines), "of_lines": len(context)}}
result |= {{"row_count": len(found), "rows": rows}}
if missing:
    result = {{"not_found": missing}}"""
READ = "for line in context:\n    print(line)"


def text_code(question: str) -> tuple[str, list[str]]:
    """Code that counts something in the lines that are meant, or the lines; and the words that can't be used."""
    exact, text = quotes(question), " ".join(spoken(QUOTED.sub(" ", question).lower()))
    if re.match(r"(?:summari[sz]e|summary of|overview of) (?:the |this )?(?:log|text|file|document)s?$", text):
        return READ, []
    how = r"\b(?:which|what|how many(?: different)?|top (?P<size>\d+)|most (?:common|frequent)|(?:lines )?(?:per|by))"
    kinds = ((kind, re.search(rf"{how} (?:{asked})\b", text)) for asked, kind in COUNTED.items())
    (name, pattern), asked = next((pair for pair in kinds if pair[1]), (("text", ".+"), re.search(ASKED, text)))
    rest = (text.replace(asked[0], " ", 1) if asked else text).replace(
        "how many", " " if name == "hour" else "how many"
    )
    words = [stem(word) for word in re.sub(SAID, " ", rest).split() if word not in KNOWN]
    unused = [
        w for w in words if w in OPERATORS or not re.match(r"\w", w) or (w.isdigit() and not re.search(SAID, rest))
    ]
    unused += [] if asked or unused else [text]
    loose = "".join(rf"(?=.*\b{re.escape(word)})" for word in words)
    wanted = f"{loose}.*(?:{'|'.join(map(re.escape, exact))})" if exact else loose
    size = (asked.groupdict().get("size") if asked else None) or (5 if name == "text" else 10)
    searched = [] if re.search(SAID, rest) else words
    flags = 0 if exact and not words else int(re.IGNORECASE)
    told = ", ".join([*exact, *words]) or "anything"
    return COUNT.format(
        wanted=wanted, flags=flags, pattern=pattern, name=name, most=size, words=searched, told=told
    ), unused
