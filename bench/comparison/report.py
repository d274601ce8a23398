"""Keeps what was measured and shows it as a table."""
import datetime
import os
import platform
import statistics
from collections import defaultdict

from comparison import systems

REFERENCE = "ringfs"


def short(number):
    if number >= 100:
        return f"{number:.0f}"
    return f"{number:.3g}"


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {platform.release()}"


class Results:
    def __init__(self, options, rows):
        self.rows = rows
        self.rounds = options.rounds
        self.systems = options.systems
        self.measures = defaultdict(list)

    def add(self, number, row, system, measure):
        self.measures[row.name, system.name].append(measure)
        print(
            f"   round {number}  {row.name:15} {system.name:12} {short(measure.value):>8} "
            f"{row.unit:5} {measure.cpu_seconds:6.2f} CPU s",
            flush=True,
        )

    def median(self, row, name):
        return statistics.median(m.value for m in self.measures[row.name, name])

    def _cell(self, row, name):
        if name in row.without:
            return "-"
        cpu = statistics.median(m.cpu_seconds for m in self.measures[row.name, name])
        return f"{short(self.median(row, name))} ({cpu:.2f})"

    def _ratio(self, row, name):
        """How many times better ringfs is than `name`."""
        if name in row.without:
            return "-"
        ours, theirs = self.median(row, REFERENCE), self.median(row, name)
        return f"{(ours / theirs if row.more_is_better else theirs / ours):.2f}"

    def lines(self):
        titles = {kind.name: kind.title for kind in systems.System.__subclasses__()}
        others = [name for name in self.systems if name != REFERENCE]
        compared = others if REFERENCE in self.systems else []
        head = ["work", "unit"] + [titles[name] for name in self.systems]
        head += [f"ringfs : {titles[name]}" for name in compared]
        yield f"Medians of {self.rounds} rounds, CPU seconds of a round in brackets. A ratio over 1: ringfs"
        yield f"is better. {machine()}; {datetime.date.today()}."
        yield ""
        yield "| " + " | ".join(head) + " |"
        yield "|" + " --- |" * len(head)
        for row in self.rows:
            cells = [row.title, row.unit] + [self._cell(row, name) for name in self.systems]
            cells += [self._ratio(row, name) for name in compared]
            yield "| " + " | ".join(cells) + " |"

    def show(self, output):
        text = "\n".join(self.lines()) + "\n"
        print("\n" + text, end="")
        if output:
            with open(output, "w", encoding="utf-8") as file:
                file.write(text)
