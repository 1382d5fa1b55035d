"""What says no in a signer or cosigner process: a signed policy bundle, the small form of one, or no policy at all."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain import InputError

if TYPE_CHECKING:
    from custody import PolicySettings
    from wallets import Guard

BundleOption = Annotated[
    Path | None,
    typer.Option(
        "--policy-bundle",
        help="Signed policy this process obeys; read again when it changes. See `capstan policy`.",
    ),
]
AdminsOption = Annotated[
    Path | None,
    typer.Option(
        "--policy-admins", help="YAML of the administrators whose quorum a bundle needs. Pinned here, on purpose."
    ),
]


def open_guard(
    settings: PolicySettings | None, bundle: Path | None, admins: Path | None, *, beside: Path, opened: AsyncExitStack
) -> Guard:
    """Open a process's guard with its memories, which are kept beside its journal.

    Args:
        settings: The small form; a bundle takes its place.
        bundle: Needs `admins`.
        admins: Needs `bundle`.
        beside: The journal's file.
        opened: Closes the memories.

    Raises:
        InputError: Only one of bundle and admins, or a file that cannot be read.
    """
    from custody import Policy, PolicyGuard
    from custody.approvals import ApprovalUses
    from custody.policy import BundlePolicy, Rests, load_admins
    from runtime import SystemClock
    from wallets import DenyAll

    if (bundle is None) != (admins is None):
        raise InputError("--policy-bundle and --policy-admins belong together")
    if bundle is None and settings is None:
        return DenyAll()
    now_ns = SystemClock().now_ns
    source: Policy | BundlePolicy
    if bundle is not None and admins is not None:
        source = BundlePolicy(bundle, load_admins(admins), state=_beside(beside, "policy.json"), now_ns=now_ns)
    elif settings is not None:
        source = Policy(settings)
    uses, rests = ApprovalUses(_beside(beside, "approvals.db")), Rests(_beside(beside, "delays.db"))
    opened.callback(uses.close)
    opened.callback(rests.close)
    return PolicyGuard(source, uses=uses, rests=rests, now_ns=now_ns)


def _beside(journal: Path, name: str) -> Path:
    return journal.with_name(f"{journal.stem}-{name}")
