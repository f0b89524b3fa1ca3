from __future__ import annotations

import pytest

from navarch.network.nftables import Nftables, NftablesError, has_table
from tests.network.laboratory import Laboratory, inside

pytestmark = pytest.mark.root


def test_a_transaction_is_taken_whole_or_not_at_all(lab: Laboratory) -> None:
    with inside(lab.namespace("n2")):
        nftables = Nftables()
        with pytest.raises(NftablesError, match="No such file"):
            nftables.run_now("add table ip navarch\nadd chain ip navarch a\nadd rule ip navarch a goto nowhere")
        assert not has_table("navarch")
        nftables.run_now("add table ip navarch")
        assert has_table("navarch")
        assert "table ip navarch" in nftables.run_now("list tables")
        nftables.close()
