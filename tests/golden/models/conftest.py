"""Fixtures of the golden tests; the largest differences that were measured are printed at the end."""

import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(_ROOT / folder) for folder in ("tests", "tests/judge", "tools")]

_measured = {}


@pytest.fixture
def measure(request):
    """measure(what, value, limit): the value must stay within the limit."""

    def check(what, value, limit):
        _measured.setdefault(what, []).append((value, request.node.name))
        assert value <= limit, f"{what}: {value:.3g} exceeds {limit:.3g}"

    return check


def pytest_terminal_summary(terminalreporter):
    for what, values in sorted(_measured.items()):
        largest, where = max(values)
        terminalreporter.write_line(f"{what}: at most {largest:.3g} in {len(values)} comparisons ({where})")
