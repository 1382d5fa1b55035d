"""A transaction with what is known of it, as JSON: what `capstan policy explain` is asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chain import parse_address
from custody.policy.action import Action, Proposal, read_proposal, read_typed_data, read_withdrawal
from custody.policy.attestations import attested_facts, subject_of
from custody.policy.decision import Spent
from custody.policy.evaluator import Policy
from custody.policy.facts import MICRO, Facts, Price, Screened, Simulation
from domain import Address, ChainId, InputError

_TRANSACTION = frozenset({"chain_id", "sender", "to", "value_wei", "data", "gas_limit", "fee_per_gas_wei"})
_FACTS = frozenset(
    {
        "initiator", "vault", "now_s", "chain_time_s", "prices", "screened", "first_seen_s", "balances", "simulation",
        "spent", "attestations",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    action: Action
    facts: Facts
    spent: Spent


def read_request(data: Any, policy: Policy, *, now_s: int) -> Request:
    """Read a request.

    ```json
    {"transaction": {"chain_id": 1, "sender": "0x…", "to": "0x…", "value_wei": "0", "data": "0x…"},
     "facts": {"initiator": "erin", "prices": {"eip155:1/slip44:60": {"usd": "2500.00"}},
               "screened": {"0x…": {"verdict": "clear", "risk": 3}}, "spent": {"eip155:1/slip44:60": "0"}}}
    ```

    In the place of `transaction`: `withdrawal` (`venue`, `asset`, `raw`, `address`) or `typed_data` (`signer`,
    `document`). `spent` says what each counter holds, whatever the window.

    Raises:
        InputError: A key is unknown or a value of the wrong form.
        Refused: The transaction's bytes cannot be read.
    """
    try:
        kinds = [kind for kind in ("transaction", "withdrawal", "typed_data") if kind in data]
        if len(kinds) != 1 or set(data) - {kinds[0], "facts"}:
            raise InputError("a request has one of transaction, withdrawal and typed_data, and perhaps facts")
        given = data.get("facts", {})
        if unknown := set(given) - _FACTS:
            raise InputError(f"facts are {', '.join(sorted(_FACTS))}, not {', '.join(sorted(unknown))}")
        return _read(kinds[0], data[kinds[0]], given, policy, now_s)
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise InputError(f"the request cannot be read: {type(exc).__name__}: {exc}") from exc


def _read(kind: str, fields: Mapping[str, Any], given: Mapping[str, Any], policy: Policy, now_s: int) -> Request:
    facts = _facts(given, now_s)
    totals = {str(counter): int(raw) for counter, raw in given.get("spent", {}).items()}
    spent: Callable[[str, int], int] = lambda counter, _window_s: totals.get(counter, 0)  # noqa: E731
    if kind == "withdrawal":
        raw = int(fields["raw"])
        action = read_withdrawal(venue=fields["venue"], asset=fields["asset"], raw=raw, address=fields["address"])
        return Request(action, facts, spent)
    if kind == "typed_data":
        return Request(read_typed_data(parse_address(fields["signer"]), fields["document"]), facts, spent)
    if unknown := set(fields) - _TRANSACTION:
        raise InputError(f"a transaction has {', '.join(sorted(_TRANSACTION))}, not {', '.join(sorted(unknown))}")
    proposal = Proposal(
        chain_id=ChainId(int(fields["chain_id"])),
        sender=parse_address(fields["sender"]),
        to=parse_address(fields["to"]),
        value_wei=int(fields.get("value_wei", 0)),
        data=bytes.fromhex(str(fields.get("data", "0x")).removeprefix("0x")),
        gas_limit=int(fields.get("gas_limit", 0)),
        fee_per_gas_wei=int(fields.get("fee_per_gas_wei", 0)),
    )
    if "attestations" in given:
        facts = attested_facts(
            given["attestations"],
            policy.document,
            known=facts,
            now_s=facts.now_s or now_s,
            subject=subject_of(proposal),
            sender=proposal.sender,
        )
    return Request(read_proposal(proposal, policy.descriptors), facts, spent)


def _facts(given: Mapping[str, Any], now_s: int) -> Facts:
    at_s = int(given.get("now_s", now_s))
    simulation = given.get("simulation")
    balances = given.get("balances")
    return Facts(
        initiator=given.get("initiator"),
        vault=given.get("vault"),
        now_s=at_s,
        chain_time_s=int(given["chain_time_s"]) if "chain_time_s" in given else None,
        prices={
            asset: Price(_micro(price["usd"]), int(price.get("at_s", at_s)))
            for asset, price in given.get("prices", {}).items()
        },
        screened={
            address: Screened(str(each["verdict"]), int(each.get("risk", 0)))
            for address, each in given.get("screened", {}).items()
        },
        first_seen_s={address: int(seen) for address, seen in given.get("first_seen_s", {}).items()},
        balances=None if balances is None else {asset: int(raw) for asset, raw in balances.items()},
        simulation=None
        if simulation is None
        else Simulation(
            {asset: int(raw) for asset, raw in simulation.get("changes", {}).items()},
            frozenset((str(asset), Address(spender)) for asset, spender in simulation.get("allowances", ())),
        ),
    )


def _micro(text: Any) -> int:
    whole, _, fraction = str(text).partition(".")
    if not whole.isdigit() or len(fraction) > 6 or (fraction and not fraction.isdigit()):
        raise ValueError(f"not dollars: {text!r}")
    return int(whole) * MICRO + int((fraction or "0").ljust(6, "0"))
