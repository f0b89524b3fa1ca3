"""Sets of completion indexes."""

from __future__ import annotations

from itertools import combinations, product

from navarch.api.batch import indexes

COMPLETIONS = 5
SUBSETS = [set(some) for size in range(COMPLETIONS + 1) for some in combinations(range(COMPLETIONS), size)]


def written(some: set[int], *, runs: bool) -> str:
    """With or without intervals."""
    parts: list[str] = []
    left = sorted(some)
    while left:
        last = next((value for value in left if value + 1 not in some), left[-1]) if runs else left[0]
        parts.append(f"{left[0]}-{last}" if last > left[0] else str(last))
        left = [value for value in left if value > last]
    return ",".join(parts)


def test_the_first_index_of_two_sets_that_have_one_in_common_is_found() -> None:
    for one, other, runs in product(SUBSETS, SUBSETS, (False, True)):
        found = indexes.overlap(written(one, runs=runs), written(other, runs=not runs), COMPLETIONS)
        assert found == min(one & other, default=None), (one, other, runs)
