"""Several strategies as one: opposite targets meet before they reach a venue, each has its own capital and ledger.

    event ──> every member ──> wishes ──> meet at the mid ──> rest to the venue ──> fills shared out ──> members

Members are kinds of the catalog, unchanged; what they see is their own position and their own orders. A member may
hold positions worth its `capital` less what it lost (`engine.netting`), on top of the risk gate, which judges the desk.
Every lot and every raw unit of a fill goes to a row: a member's, or the desk's own for trades nobody asked for. The
rows' lots are compared with the kernel's position after every fill, and the run stops when they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import msgspec
import numpy as np
from pydantic import Field, TypeAdapter, model_validator

from domain import InputError, InvariantError
from engine.netting import MemberContext, NettingDesk, Share, Wish
from engine.netting.context import TAG_BITS, MemberEvent
from engine.records import EventFlag
from engine.sdk import BookView, Context, EventView, Trades
from engine.sdk.strategy import callbacks
from engine.strategies.base import CatalogSettings, CatalogStrategy, Positive
from runtime import SettingsPart

ROUNDS: Final = 4
"""How often members may answer what an event made of their wishes, before the next event."""


class MemberSettings(SettingsPart):
    """One member."""

    strategy: dict[str, Any]
    """A kind of the catalog with its keys, as in `[[strategies]]`. Its orders must end by themselves; no pools."""
    capital: Positive
    """Quote units its position may be worth, less what it lost."""
    loss_max: Positive | None = None
    """A loss in an instrument from which on it may only reduce there."""


class NettedSettings(CatalogSettings):
    """See the module."""

    kind: Literal["netted"] = "netted"
    members: Annotated[tuple[MemberSettings, ...], Field(min_length=1, max_length=32)]
    cross: bool = True
    """Whether opposite wishes meet inside. Off: each side goes out whole, fills are shared all the same."""

    fixed: ClassVar[tuple[str, ...]] = ("members",)

    @model_validator(mode="after")
    def _members_can_be(self) -> Self:
        for member in self.parts():
            if member.kind == self.kind or member.pool_names():  # type: ignore[attr-defined]
                raise ValueError(f"{member.kind} cannot be a member of a desk")  # type: ignore[attr-defined]
        return self

    def parts(self) -> list[CatalogSettings]:
        """The members' settings, checked."""
        from engine.strategies.catalog import CatalogUnion

        adapter: TypeAdapter[Any] = TypeAdapter(Annotated[CatalogUnion, Field(discriminator="kind")])
        return [adapter.validate_python(member.strategy) for member in self.members]

    def instrument_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for part in self.parts() for name in part.instrument_names()))


class Netted(CatalogStrategy[NettedSettings]):
    """See the module. Only what some member overrides is subscribed."""

    def __new__(cls, settings: NettedSettings) -> Self:
        """Make it of a class that has the callbacks its members have."""
        from engine.strategies.catalog import CATALOG

        wanted = {name for part in settings.parts() for name in _names(CATALOG[part.kind].strategy)}  # type: ignore[attr-defined]
        body = {name: call for name, call in _OPTIONAL.items() if name in wanted}
        return object.__new__(type(cls.__name__, (cls,), body) if body else cls)

    def __init__(self, settings: NettedSettings) -> None:
        from engine.strategies.catalog import make

        super().__init__(settings)
        self.members = [make(part) for part in settings.parts()]
        self.desk = NettingDesk.of(len(self.members))
        self._contexts = [
            MemberContext(self.desk, at, member.capital, member.loss_max) for at, member in enumerate(settings.members)
        ]
        self._overridden = [set(callbacks(member)) for member in self.members]
        self._told: dict[str, int] = {}
        """By member and instrument: the last interval in which it looked at a book."""
        self.book_interval_ns = min(self._of("on_book", "book_interval_ns"), default=0)
        self.trades_interval_ns = self._same("on_trades", "trades_interval_ns")
        self.bar_interval_ns = self._same("on_bar", "bar_interval_ns")

    def _of(self, callback: str, name: str) -> set[int]:
        """An attribute of every member that has a callback."""
        return {getattr(m, name) for m, has in zip(self.members, self._overridden, strict=True) if callback in has}

    def _same(self, callback: str, name: str) -> int:
        found = sorted(self._of(callback, name))
        if len(found) > 1:
            raise InputError(f"strategy {self.id}: its members differ in {name}: {found}")
        return found[0] if found else 0

    @property
    def is_idle(self) -> bool:
        return not self.desk.wishes and all(member.is_idle for member in self.members)

    # --- what happens

    def on_start(self, ctx: Context) -> None:
        self._numbers = [{ctx.instrument(name) for name in m.instruments} for m in self.members]
        self._each(ctx, "on_start")

    def on_stop(self, ctx: Context) -> None:
        self._each(ctx, "on_stop")
        self._settle(ctx)

    def on_timer(self, ctx: Context, event: EventView) -> None:
        owner, tag = event.aux0 & (1 << TAG_BITS) - 1, event.aux0 >> TAG_BITS
        self._collect(ctx)
        if event.aux0 == 0:
            self._each(ctx, "on_timer", event)
        elif 1 <= owner <= len(self.members) and "on_timer" in self._overridden[owner - 1]:
            told: Any = MemberEvent(ctx.now_ns, event.instrument, 0, 0, aux0=tag)
            self.members[owner - 1].on_timer(self._contexts[owner - 1].bind(ctx), told)
        self._settle(ctx)

    def on_order(self, ctx: Context, event: EventView) -> None:
        self._collect(ctx)
        self._settle(ctx)

    def on_fill(self, ctx: Context, event: EventView) -> None:
        field = "fee_other" if event.flags & EventFlag.FEE_OTHER else "fee_quote"
        field = "fee_base" if event.flags & EventFlag.FEE_BASE else field
        shares = self.desk.filled(event.client_id, event.price, event.size, event.aux1, field)
        if shares is None:
            signed = event.size if event.side == 0 else -event.size
            self.desk.unasked(event.instrument, signed, event.price, event.aux1, field)
        booked, held = self.desk.ledgers.total(event.instrument).lots, ctx.position(event.instrument)
        if booked != held:
            raise InvariantError(f"desk {self.id}: members hold {booked} lots together, the kernel {held}")
        self._tell(ctx, shares or [])
        self._collect(ctx)
        self._settle(ctx)

    def _each(self, ctx: Context, name: str, *what: Any, instrument: int | None = None) -> None:
        for at, member in enumerate(self.members):
            if name in self._overridden[at] and (instrument is None or instrument in self._numbers[at]):
                getattr(member, name)(self._contexts[at].bind(ctx), *what)

    # --- netting

    def _settle(self, ctx: Context) -> None:
        """Let wishes meet, send the rest, tell members; and again while they answer."""
        for _ in range(ROUNDS):
            wishes = self.desk.unsent()
            if not wishes:
                return
            for instrument in sorted({wish.instrument for wish in wishes}):
                book = ctx.book(instrument)
                if self.settings.cross and book.is_valid:
                    self._tell(ctx, self.desk.cross(instrument, book.bid + book.ask))
                for side, price, group in self.desk.rest(instrument):
                    order = ctx.take(instrument, side, price, sum(wish.left for wish in group))
                    if order is not None:
                        self.desk.sent(order, group)
            # Filled inside, or refused by the gate: over.
            sent = {name for group in self.desk.groups.values() if group.is_open for name in group.wishes}
            self._over(ctx, self.desk.close([w for w in wishes if w.client_id not in sent and w.is_open]))

    def _collect(self, ctx: Context) -> None:
        """End what ended at the venue."""
        for name in [name for name, group in self.desk.groups.items() if group.is_open and not ctx.is_open(int(name))]:
            self._over(ctx, self.desk.ended(int(name)))

    def _tell(self, ctx: Context, shares: list[Share]) -> None:
        for share in shares:
            wish = share.wish
            if "on_fill" in self._overridden[wish.member]:
                told: Any = MemberEvent(
                    ctx.now_ns, wish.instrument, wish.side, wish.client_id,
                    price=share.half_ticks // 2, size=share.lots, aux0=wish.client_id, aux1=share.fee,
                )  # fmt: skip
                self.members[wish.member].on_fill(self._contexts[wish.member].bind(ctx), told)

    def _over(self, ctx: Context, wishes: list[Wish]) -> None:
        for wish in wishes:
            if "on_order" in self._overridden[wish.member]:
                told: Any = MemberEvent(ctx.now_ns, wish.instrument, wish.side, wish.client_id, aux0=wish.client_id)
                self.members[wish.member].on_order(self._contexts[wish.member].bind(ctx), told)

    # --- snapshots

    def state(self) -> bytes:
        members = [member.state().decode() for member in self.members]
        return msgspec.json.encode({"members": members, "desk": self.desk, "told": self._told}, order="deterministic")

    def restore(self, state: bytes) -> None:
        try:
            found = msgspec.json.decode(state, type=_State)
        except msgspec.DecodeError as exc:
            raise InputError(f"strategy {self.id}: the saved state is damaged: {exc}") from exc
        if len(found.members) != len(self.members):
            raise InputError(f"strategy {self.id}: expected {len(self.members)} members, found {len(found.members)}")
        for member, saved in zip(self.members, found.members, strict=True):
            member.restore(saved.encode())
        for name in NettingDesk.__struct_fields__:
            setattr(self.desk, name, getattr(found.desk, name))
        self._told = found.told


class _State(msgspec.Struct):
    members: list[str]
    desk: NettingDesk
    told: dict[str, int]


def _on_book(self: Netted, ctx: Context, book: BookView) -> None:
    instrument = book.instrument
    for at, member in enumerate(self.members):
        if "on_book" not in self._overridden[at] or instrument not in self._numbers[at]:
            continue
        every = member.book_interval_ns
        if every:
            # The first message of each interval of its own; what became stale is told at once.
            now = ctx.now_ns // every
            if book.is_valid and self._told.get(f"{at}/{instrument}") == now:
                continue
            self._told[f"{at}/{instrument}"] = now
        member.on_book(self._contexts[at].bind(ctx), book)
    self._settle(ctx)


def _on_trades(self: Netted, ctx: Context, trades: Trades) -> None:
    for at, member in enumerate(self.members):
        if "on_trades" in self._overridden[at]:
            wanted = trades[np.isin(trades["instrument"], list(self._numbers[at]))]
            if len(wanted):
                member.on_trades(self._contexts[at].bind(ctx), wanted)
    self._settle(ctx)


def _on_bar(self: Netted, ctx: Context, event: EventView) -> None:
    self._each(ctx, "on_bar", event, instrument=event.instrument)
    self._settle(ctx)


_OPTIONAL: Final[dict[str, Callable[..., None]]] = {"on_book": _on_book, "on_trades": _on_trades, "on_bar": _on_bar}


def _names(kind: type[CatalogStrategy[Any]]) -> set[str]:
    from engine.sdk import Strategy

    return {name for name in _OPTIONAL if getattr(kind, name) is not getattr(Strategy, name)}
