"""Puts its stdin between the two marks of a name in a Markdown file.

    into.py FILE NAME
"""

import sys
from pathlib import Path

file, name = Path(sys.argv[1]), sys.argv[2]
text = file.read_text()
begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
if text.count(begin) != 1 or text.count(end) != 1:
    sys.exit(f"{file} has not one {begin} and one {end}")
before, rest = text.split(begin)
after = rest.split(end)[1]
file.write_text(f"{before}{begin}\n{sys.stdin.read().strip()}\n{end}{after}")
