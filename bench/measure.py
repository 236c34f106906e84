"""Two sides, measured in one run, and the ratio that is the gate. The absolute numbers belong to one machine."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

HEADER = f"{'':44} {'ours':>28} {'the other side':>28} {'ratio':>7}  gate"


@dataclass(frozen=True)
class Ratio:
    """`ours` over `other`, medians of several rounds. The gate is `at_most` or `at_least`; without one it is shown
    only."""

    name: str
    ours: list[float]
    other: list[float]
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def value(self) -> float:
        return median(self.ours) / median(self.other)

    @property
    def passes(self) -> bool:
        if self.at_most is not None and self.value > self.at_most:
            return False
        return self.at_least is None or self.value >= self.at_least

    def __str__(self) -> str:
        gate = "" if self.at_most is None else f"≤ {self.at_most}"
        gate = gate if self.at_least is None else f"≥ {self.at_least}"
        verdict = f"{gate} {'ok' if self.passes else 'MISSED'}" if gate else "-"
        ours, other = _shown(self.ours, self.unit), _shown(self.other, self.unit)
        return f"{self.name:44} {ours:>28} {other:>28} {self.value:7.2f}  {verdict}"


def _shown(values: list[float], unit: str) -> str:
    def plain(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    return f"{plain(median(values))} {unit} ({plain(min(values))}-{plain(max(values))})"


def report(*ratios: Ratio) -> int:
    """Print the ratios. Returns the exit code: 1 when one misses its gate."""
    for ratio in ratios:
        print(ratio, flush=True)
    return 0 if all(ratio.passes for ratio in ratios) else 1


def milliseconds(act: Callable[[], object], *, times: int = 1) -> float:
    """Return how long one call takes, over `times` calls."""
    began = perf_counter()
    for _ in range(times):
        act()
    return (perf_counter() - began) * 1000 / times
