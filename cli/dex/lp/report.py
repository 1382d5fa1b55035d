"""A position's account, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.dex.lp.place import open_reading
from cli.dex.lp.show import amount_text, position_json
from cli.dex.options import DeskPlace
from dex.liquidity import Position, PositionId, paid_asset
from dex.liquidity.accounting import Flow, Standing, standing
from dex.liquidity.history import read_flows, read_path
from domain import Asset, InputError


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a position."""

    position: Position
    assets: tuple[Asset, Asset]
    flows: list[Flow]
    prices_seen: int
    account: Standing

    def to_json(self) -> dict[str, Any]:
        """Amounts are text in smallest units; values count token 1."""
        account = self.account
        return {
            **position_json(self.position),
            "transactions": len(self.flows),
            "prices_seen": self.prices_seen,
            **{
                name: [str(raw) for raw in getattr(account, name)] for name in ("paid_in", "taken_out", "fees", "holds")
            },
            "fees_unclaimed": [str(raw) for raw in self.position.fees],
            **{
                name: str(getattr(account, name))
                for name in (
                    "value",
                    "fees_value",
                    "impermanent_loss",
                    "against_holding",
                    "against_trading_along",
                )
            },
        }

    def print(self) -> None:
        """Print a table."""
        account, (zero, one) = self.account, self.assets
        rows = Table(box=None, show_header=False, pad_edge=False)

        def both(name: str, raw: tuple[int, int]) -> None:
            rows.add_row(name, amount_text(zero, raw[0]), amount_text(one, raw[1]))

        def worth(name: str, raw: int, note: str = "") -> None:
            rows.add_row(name, amount_text(one, raw), note)

        both("paid in", account.paid_in)
        both("taken out", account.taken_out)
        both("holds", account.holds)
        both("fees, taken and due", account.fees)
        worth("worth now", account.value, f"at the price of block {self.position.pool.block_number}")
        worth("fees", account.fees_value)
        worth("impermanent loss", -account.impermanent_loss, "what holding would be worth more, fees apart")
        worth("against holding", account.against_holding, "fees less impermanent loss")
        worth("against trading along", account.fees_value + account.against_trading_along, "fees less what traders won")
        Console().print(rows)


async def read_report(place: DeskPlace, name: str, *, from_block: int) -> Report:
    """Read a position's history and draw up its account.

    Raises:
        InputError: There is no such position, or its beginning lies before `from_block`.
    """
    async with open_reading(place) as places:
        (position,) = await places.reader.read([PositionId.parse(name)])
        spec, contracts = position.pool.spec, places.contracts
        flows = await read_flows(places.client, contracts, position, from_block=from_block)
        if not flows or sum(flow.liquidity_delta for flow in flows) != position.liquidity:
            raise InputError(
                f"the history of {name} from block {from_block} is not whole", hint="Say an earlier --from-block."
            )
        path = await read_path(places.client, contracts, position, first=flows[0])
        account = standing(
            position.span,
            flows,
            path,
            sqrt_price_x96=position.pool.sqrt_price_x96,
            holds=position.amounts,
            fees_due=position.fees,
        )
        assets = paid_asset(spec, contracts, 0), paid_asset(spec, contracts, 1)
        return Report(position, assets, flows, len(path), account)
