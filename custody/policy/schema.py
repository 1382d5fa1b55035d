"""A policy document: rules, groups, limits of a chain. docs/policy.md says what each word means.

These are plain values, checked when they are read: names that are used exist, amounts are integers, unknown keys are
errors. `custody.policy.compile` turns them into something that answers fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from chain import checksum
from custody.calls import load_descriptors
from custody.clear_signing import Names, TokenName
from custody.policy.action import Kind
from custody.policy.references import problems
from custody.policy.resolve import resolve
from custody.policy.words import DAYS, Duration, Label, Minute, Name, PolicyAddress, RawAmount, Usd, Zone
from domain import PlatformError


class Part(BaseModel):
    """Frozen, and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class AssetSpec(Part):
    """An asset the document has a short name for; its decimals make dollars and `1.5 WETH` possible."""

    id: str = Field(min_length=3, max_length=129, pattern=r"^[A-Za-z0-9:._\-]+/[A-Za-z0-9:._\-]+$")
    decimals: int = Field(ge=0, le=36)


class Person(Part):
    """Somebody, or some program, that asks or approves."""

    keys: tuple[str, ...] = ()
    """`ed25519:<64 hex digits>` or `passkey:…`; whoever only asks needs none."""
    roles: tuple[Name, ...] = ()


class Attester(Part):
    """A service that is believed about some facts, for a while."""

    key: str = Field(pattern=r"^ed25519:[0-9a-f]{64}$")
    facts: tuple[Literal["usd-price", "aml", "first-seen", "simulation", "balances"], ...] = Field(min_length=1)
    max_age: Duration


class ChainCaps(Part):
    """What holds for every transaction of a chain, before any rule."""

    gas_limit_max: int = Field(default=1_000_000, gt=0)
    fee_per_gas_wei_max: RawAmount = 500 * 10**9
    gas_cost_wei_max: RawAmount = 10**17
    """Gas limit times fee ceiling."""
    deadline_s_max: int = Field(default=1800, gt=0)
    """How far ahead of the chain's time a swap's deadline may lie."""


class Initiators(Part):
    """Any one of these."""

    ids: tuple[Name, ...] = ()
    roles: tuple[Name, ...] = ()
    groups: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not (self.ids or self.roles or self.groups):
            raise ValueError("names nobody")
        return self


class Above(Part):
    """More than this much leaves or is approved, in this transaction or within a window."""

    asset: str | None = None
    amount: RawAmount | None = None
    usd: Usd | None = None
    share_percent: int | None = Field(default=None, ge=0, le=100)
    """Of what the vault holds of the asset."""
    window: Duration | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if sum(value is not None for value in (self.amount, self.usd, self.share_percent)) != 1:
            raise ValueError("needs exactly one of amount, usd, share_percent")
        if self.share_percent is not None and self.window is not None:
            raise ValueError("a share is one transaction's: no window")
        if self.usd is not None and self.asset is not None:
            raise ValueError("dollars are counted over all assets: no asset")
        return self


class Hours(Part):
    """A part of the week in a time zone. `to` before `from` runs over midnight and belongs to the day it began."""

    zone: Zone
    days: tuple[Literal[DAYS], ...] = DAYS  # type: ignore[valid-type]
    start: Minute = Field(default=0, alias="from")
    end: Minute = Field(default=1440, alias="to")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("from and to are the same minute")
        return self


class Conditions(Part):
    """All that are given must hold; of a list one entry. docs/policy.md says what several assets at once mean."""

    kind: tuple[Kind, ...] | None = Field(default=None, min_length=1)
    chain: tuple[int, ...] | None = Field(default=None, min_length=1)
    venue: tuple[Name, ...] | None = Field(default=None, min_length=1)
    vault: tuple[Name, ...] | None = Field(default=None, min_length=1)
    initiator: Initiators | None = None
    contract: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Addresses and `@lists`; `none` for coins that are sent without a call."""
    method: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names, selectors (`0xa9059cbb`), primary types of typed data."""
    asset: tuple[str, ...] | None = Field(default=None, min_length=1)
    recipient: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Addresses, `@lists`, `self` (the sending vault), `internal` (any vault of the document)."""
    spender: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Who is given an allowance: addresses and `@lists`."""
    above: Above | None = None
    aml: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """Verdicts."""
    risk_above: int | None = Field(default=None, ge=0, le=100)
    younger_than: Duration | None = None
    """A destination became known less than this long ago."""
    hours: tuple[Hours, ...] | None = Field(default=None, min_length=1)
    price_max_age: Duration = 120
    """How old a price may be to count as known."""

    @field_validator(
        "kind", "chain", "venue", "vault", "contract", "method", "asset", "recipient", "spender", "aml", "hours",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | int | dict) else value


class Window(Part):
    """At most so much in any stretch of this length."""

    window: Duration = Field(gt=0)
    amount: RawAmount


class UsdWindow(Part):
    window: Duration = Field(gt=0)
    amount: Usd


class CountWindow(Part):
    window: Duration = Field(gt=0)
    count: int = Field(gt=0)


class AmountLimit(Part):
    """Limits of one asset, in its smallest unit. What is not given is not limited, except allowances."""

    asset: str | None = None
    """None: each asset that has no entry of its own."""
    per_transaction: RawAmount | None = None
    approval: RawAmount | None = None
    """The largest allowance; `per_transaction` where it is not given, and 0 where neither is."""
    windows: tuple[Window, ...] = ()
    lifetime: RawAmount | None = None
    share_percent: int | None = Field(default=None, ge=0, le=100)
    """Of what the vault holds."""
    per: Literal["vault", "recipient", "initiator"] = "vault"
    """Whose windows and lifetime these are."""


class UsdLimit(Part):
    """Limits in dollars, over all assets together."""

    per_transaction: Usd | None = None
    windows: tuple[UsdWindow, ...] = ()
    lifetime: Usd | None = None
    price_max_age: Duration = 120


class Move(Part):
    """How an asset of the vault may change in the simulation. What leaves is negative."""

    asset: str
    lowest: Annotated[int, Field(gt=-(1 << 256), le=0)] = 0
    highest: RawAmount | None = None

    @field_validator("lowest", mode="before")
    @classmethod
    def _signed(cls, value: Any) -> Any:
        return int(value.replace("_", "")) if isinstance(value, str) else value


class SimulationLimit(Part):
    """The simulation must have been done. An asset that is not listed may not fall."""

    moves: tuple[Move, ...] = ()
    new_allowances: bool = False
    """Whether allowances may appear that the call itself does not state."""


class Limits(Part):
    """What an allow rule allows at most."""

    amounts: tuple[AmountLimit, ...] | None = None
    usd: UsdLimit | None = None
    transactions: tuple[CountWindow, ...] = ()
    simulation: SimulationLimit | None = None
    gas_cost_wei: RawAmount | None = None
    deadline: Duration | None = None
    """How far ahead a swap's deadline may lie."""
    slippage_bps: int | None = Field(default=None, ge=0, le=10_000)
    """How much less than it spends a swap may be sure to receive, at known prices."""
    price_max_age: Duration = 120
    """For the slippage."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        assets = [entry.asset for entry in self.amounts or ()]
        if len(assets) != len(set(assets)):
            raise ValueError("an asset has two entries")
        return self


class Rule(Part):
    """One sentence of the policy."""

    id: Name
    effect: Literal["allow", "deny", "require", "delay"]
    when: Conditions = Conditions()
    unless: Conditions | None = None
    limits: Limits | None = None
    """Of an allow rule."""
    group: Name | None = None
    count: int | None = Field(default=None, ge=1, le=64)
    delay: Duration | None = Field(default=None, gt=0)
    note: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _fits_its_effect(self) -> Self:
        needs = {"require": {"group", "count"}, "delay": {"delay"}}.get(self.effect, set())
        given = {name for name in ("group", "count", "delay") if getattr(self, name) is not None}
        if needs != given:
            raise ValueError(f"{self.effect} takes {', '.join(sorted(needs)) or 'neither group, count nor delay'}")
        if self.limits is not None and self.effect != "allow":
            raise ValueError("only allow has limits")
        if self.unless is not None and not self.unless.model_fields_set - {"price_max_age"}:
            raise ValueError("unless without a condition is never")
        return self


class PolicyDocument(Part):
    """Everything that is decided together and signed together."""

    version: int = Field(ge=1, lt=1 << 31)
    activates_at: str = ""
    """UTC, like 2026-11-26T09:00:00Z; at once where it is not given."""
    min_delay: Duration = 0
    """How long the next version must rest between its signatures and its activation."""
    assets: Mapping[Name, AssetSpec] = Field(default_factory=dict)
    lists: Mapping[Name, tuple[PolicyAddress, ...]] = Field(default_factory=dict)
    vaults: Mapping[Name, tuple[PolicyAddress, ...]] = Field(default_factory=dict)
    """Our own addresses."""
    descriptors: tuple[Mapping[str, Any], ...] = ()
    """ERC-7730 documents, the ABI inside: methods that can be read besides the built-in ones. They permit nothing."""
    names: Mapping[PolicyAddress, Label] = Field(default_factory=dict)
    """What approvers read instead of an address."""
    people: Mapping[Name, Person] = Field(default_factory=dict)
    groups: Mapping[Name, tuple[Name, ...]] = Field(default_factory=dict)
    attesters: Mapping[Name, Attester] = Field(default_factory=dict)
    statements: tuple[Annotated[str, Field(pattern="^[a-z0-9-]{1,40}$")], ...] = ()
    """Purposes for which signers' Ed25519 keys make statements (docs/mpc.md)."""
    chains: Mapping[int, ChainCaps]
    rules: tuple[Rule, ...] = Field(max_length=100_000)

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        return resolve(data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        try:
            self.spoken  # noqa: B018 - descriptors and tokens that cannot be read are found here
        except PlatformError as exc:
            raise ValueError(str(exc)) from exc
        if found := next(problems(self), None):
            raise ValueError(found)
        return self

    def members(self, group: str) -> Mapping[str, tuple[str, ...]]:
        """Who is in a group, with their keys."""
        return {person: self.people[person].keys for person in self.groups[group]}

    @property
    def spoken(self) -> Names:
        """The names in which approvers read a transaction: assets' short names are symbols, vaults have theirs."""
        tokens = {
            (int(chain), checksum(token)): TokenName(name, asset.decimals)
            for name, asset in self.assets.items()
            for chain, slash, token in [asset.id.removeprefix("eip155:").partition("/erc20:")]
            if slash and chain.isdigit()
        }
        vaults = {(0, a): f"vault {name}" for name, addresses in self.vaults.items() for a in addresses}
        named = {(0, address): name for address, name in self.names.items()}
        descriptors = load_descriptors(self.descriptors)
        return Names(tokens=tokens, addresses={**vaults, **named}, descriptors=descriptors)

    @property
    def decimals(self) -> Mapping[str, int]:
        """By asset id."""
        return {asset.id: asset.decimals for asset in self.assets.values()}
