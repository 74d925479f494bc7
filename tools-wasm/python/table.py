"""A Longhaul tool in Python: typed exports, no SDK, nothing but the standard library."""

import csv
import io
import random
import re
import statistics

from componentize_py_types import Err
from wit_world.exports import Tables as TablesInterface
from wit_world.exports.tables import Column


class Tables(TablesInterface):
    def summarize_csv(self, csv_text: str) -> list[Column]:
        rows = [row for row in csv.reader(io.StringIO(csv_text)) if row]
        if not rows:
            raise Err("the text has no line that names the columns")
        names, *rows = rows
        return [column(name, [row[i] for row in rows if i < len(row)]) for i, name in enumerate(names)]

    def roll_dice(self, dice: str) -> int:
        parts = re.fullmatch(r"(\d{1,3})d(\d{1,4})([+-]\d{1,6})?", dice.strip())
        if not parts or int(parts[2]) == 0:
            raise Err(f"{dice!r} is no throw: write it like 3d6 or 2d20+1")
        return sum(random.randint(1, int(parts[2])) for _ in range(int(parts[1]))) + int(parts[3] or 0)


def column(name: str, cells: list[str]) -> Column:
    filled = [cell.strip() for cell in cells if cell.strip()]
    numbers = as_numbers(filled)
    return Column(
        name=name.strip(),
        filled=len(filled),
        distinct=len(set(filled)),
        mean=statistics.fmean(numbers) if numbers else None,
        median=statistics.median(numbers) if numbers else None,
    )


def as_numbers(cells: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return []
