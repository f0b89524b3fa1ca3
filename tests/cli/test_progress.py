from __future__ import annotations

import os

from navarch.cli.progress import Listener, Reporter, Told, since_start_seconds


def test_what_is_told_is_heard_until_the_process_ends() -> None:
    listener = Listener()
    reporter = Reporter(listener.pipe("server"))
    reporter.step("API", "https://127.0.0.1:6443")
    reporter.fail("no room")
    reporter.close()
    assert list(listener.listen(5)) == [
        Told("server", "API", "https://127.0.0.1:6443"),
        Told("server", error="no room"),
        Told("server", ended=True),
    ]


def test_several_processes_are_heard_together() -> None:
    listener = Listener()
    first, second = Reporter(listener.pipe("a")), Reporter(listener.pipe("b"))
    first.step("one")
    second.step("two")
    first.close()
    second.close()
    assert {(told.process, told.step) for told in listener.listen(5)} == {("a", "one"), ("a", ""), ("b", "two"), ("b", "")}


def test_a_line_in_two_pieces_is_one() -> None:
    listener = Listener()
    descriptor = listener.pipe("a")
    os.write(descriptor, b'{"step": "on')
    heard = listener.listen(5)
    os.write(descriptor, b'e", "detail": ""}\n')
    assert next(heard).step == "one"
    os.close(descriptor)
    assert next(heard).ended


def test_listening_ends_with_the_time() -> None:
    listener = Listener()
    descriptor = listener.pipe("a")
    assert list(listener.listen(0)) == []
    listener.close()
    os.close(descriptor)


def test_nobody_listens_and_nobody_minds() -> None:
    listener = Listener()
    reporter = Reporter(listener.pipe("a"))
    listener.close()
    reporter.step("one")
    reporter.step("two")
    Reporter(None).step("three")


def test_the_time_since_the_start_is_a_few_seconds_at_most_before_the_first_test() -> None:
    before = since_start_seconds()
    assert 0 <= before <= since_start_seconds()
