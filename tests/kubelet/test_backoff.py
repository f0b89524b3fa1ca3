"""Delays before what failed is tried again."""

from __future__ import annotations

import pytest

from navarch.kubelet.backoff import Backoff, Retry, duration_text


def test_the_first_failure_is_tried_again_at_once_then_delays_double_to_the_maximum() -> None:
    backoff = Backoff(10, 300)
    now, delays = 1000.0, []
    for _ in range(8):
        # It fails now; how long does it wait?
        delays.append(backoff.remaining("c", now, now))
        now += delays[-1]
        backoff.next("c", now - delays[-1], now)
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300]


def test_what_went_well_for_long_starts_over() -> None:
    backoff = Backoff(10, 300)
    for _ in range(5):
        backoff.next("c", 100.0, 100.0)
    assert backoff.remaining("c", 100.0, 100.0) == 160
    assert backoff.remaining("c", 100.0 + 601, 100.0 + 601) == 0
    assert backoff.next("c", 701.0, 701.0) == 10


def test_time_that_has_passed_since_the_failure_counts() -> None:
    backoff = Backoff(10, 300)
    backoff.next("c", 0.0, 0.0)
    assert backoff.remaining("c", 5.0, 9.0) == 6
    assert backoff.remaining("c", 5.0, 20.0) == 0


def test_keys_are_apart_and_can_be_forgotten() -> None:
    backoff = Backoff()
    backoff.next("u1_a", 0, 0)
    backoff.next("u2_a", 0, 0)
    backoff.forget_prefix("u1_")
    assert (backoff.delay("u1_a"), backoff.delay("u2_a")) == (0, 10)
    backoff.forget_expired(10_000)
    assert backoff.delay("u2_a") == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (10, "10s"),
        (160, "2m40s"),
        (300, "5m0s"),
        (3600, "1h0m0s"),
        (1.5, "1.5s"),
        (0.35, "350ms"),
        (0.0123, "12.3ms"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_what_fails_again_and_again_is_tried_ever_later_until_it_succeeds() -> None:
    retry = Retry(0.5, 3)
    assert [retry.failed() for _ in range(5)] == [0.5, 1, 2, 3, 3]
    retry.succeeded()
    assert retry.failed() == 0.5
