"""What the benchmarks share: an engine with a warm TensorFlow environment, and the report."""

import contextlib
import dataclasses
import os
import platform
import statistics

from support.engine import Engine
from support.jobs import IMAGE, Jobs

FIRST_JOB_DEADLINE = 1200  # it may have to install the TensorFlow environment


@contextlib.contextmanager
def warm_engine(image=IMAGE, deadline=FIRST_JOB_DEADLINE, **options):
    """A fresh engine whose image environment is cached; also the path of that environment's Python. Further options are
    those of a job that needs the environment."""
    engine = Engine()
    try:
        engine.start()
        jobs = Jobs(engine)
        yield jobs, jobs.report("import sys\nreport(sys.executable)\n", deadline=deadline,
                                AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"}, **options)
    finally:
        engine.destroy()


def percentile(values, share):
    """The smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, load {load:.1f} at the end"


@dataclasses.dataclass
class Row:
    """One measured thing."""

    label: str
    unit: str
    values: list

    def cells(self):
        values = self.values
        return [self.label, f"{statistics.median(values):.1f}", f"{min(values):.1f}", f"{percentile(values, 90):.1f}",
                f"{max(values):.1f}", self.unit, str(len(values))]


@dataclasses.dataclass
class Report:
    """A benchmark's outcome: rows for people, one figure against one target for machines."""

    name: str
    what: str
    figure: float
    unit: str
    target: float
    rows: list
    notes: list = dataclasses.field(default_factory=list)
    at_least: bool = False  # the target is a floor, not a ceiling

    @property
    def met(self):
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    def closing(self):
        return (f"{self.name} figure={self.figure:.3g} unit={self.unit} target={self.target:g} "
                f"{'met' if self.met else 'short'}")

    def as_text(self):
        table = [["", "median", "min", "p90", "max", "unit", "n"]] + [row.cells() for row in self.rows]
        widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
        lines = [self.what, machine(), ""]
        for line in table:
            lines.append("  ".join(cell.ljust(width) if column in (0, 5) else cell.rjust(width)
                                   for column, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip())
        return "\n".join(lines + [""] * bool(self.notes) + self.notes + ["", self.closing()])

    def as_json(self):
        return {"name": self.name, "figure": self.figure, "unit": self.unit, "target": self.target, "met": self.met,
                "what": self.what, "machine": machine(), "notes": self.notes,
                "rows": [dataclasses.asdict(row) | {"median": statistics.median(row.values)} for row in self.rows]}
