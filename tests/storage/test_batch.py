"""What is made once of what comes together."""

from __future__ import annotations

from navarch.storage.batch import Batch


def test_each_form_is_made_once_of_the_whole() -> None:
    made: list[list[int]] = []

    def total(batch: Batch[int]) -> int:
        made.append(list(batch))
        return sum(batch)

    batch = Batch([1, 2, 3])
    assert batch.form("total", total) == batch.form("total", total) == 6
    assert batch.form("length", len) == 3
    assert made == [[1, 2, 3]]
