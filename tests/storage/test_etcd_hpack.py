"""Header blocks: RFC 7541's own examples, and what is no block."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.storage.etcd import hpack

FIRST_RESPONSE = [
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
]


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        # C.2.1 to C.2.4.
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [("custom-key", "custom-header")]),
        ("040c2f73616d706c652f70617468", [(":path", "/sample/path")]),
        ("100870617373776f726406736563726574", [("password", "secret")]),
        ("82", [(":method", "GET")]),
        # C.5.1 and, with Huffman codes, C.6.1.
        (
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
            "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
            FIRST_RESPONSE,
        ),
        (
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            FIRST_RESPONSE,
        ),
        # The size of the table, as it was agreed on, before the first header.
        ("2088", [(":status", "200")]),
        ("", []),
    ],
)
def test_blocks_are_decoded(block: str, headers: list[tuple[str, str]]) -> None:
    assert hpack.decode(bytes.fromhex(block)) == headers


@pytest.mark.parametrize(
    "block",
    [
        # The dynamic table; its size; index 0; ends too early; a number without end; what is no Huffman code.
        *("be", "7e0161", "3f00", "80", "40", "400a6375", "4001", "7fffffffffffff0f"),
        *("4001618100", "40016184ffffffff"),
    ],
)
def test_what_is_no_block_is_refused(block: str) -> None:
    with pytest.raises(hpack.HeaderError):
        hpack.decode(bytes.fromhex(block))


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=300)), max_size=5))
def test_what_is_encoded_is_decoded(headers: list[tuple[str, str]]) -> None:
    assert hpack.decode(hpack.encode(headers)) == headers


@given(st.binary(max_size=60))
def test_anything_is_decoded_or_refused(block: bytes) -> None:
    with suppress(hpack.HeaderError):
        hpack.decode(block)
