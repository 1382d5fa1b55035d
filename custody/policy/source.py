"""The policy of a process that trusts nobody: a bundle file, checked against pinned administrators, remembered.

The file may be replaced while the process runs. What was accepted is kept in a state file of the process's own, with
the highest version ever accepted, so that neither an older bundle nor a missing file takes a process back.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from custody.clear_signing import Names
from custody.policy.action import Action, Proposal
from custody.policy.bundle import Admins, Bundle, check_quorum, check_successor, effective_s, load_bundle, read_bundle
from custody.policy.decision import Decision, Spent
from custody.policy.evaluator import Policy
from custody.policy.facts import NOTHING_KNOWN, Facts
from custody.policy.schema import ChainCaps, PolicyDocument
from domain import Address, InputError, PlatformError, Refused

log = structlog.get_logger(__name__)

_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class _State:
    """What survives a restart."""

    highest: int
    active: Bundle | None
    pending: Bundle | None
    pending_seen_s: int


class BundlePolicy:
    """Gives the policy that is active now, and judges by it as a `Policy` does. Thread-safe.

    Args:
        path: The bundle file; looked at again whenever it changes.
        admins: Pinned by this process's own configuration.
        state: This process's own memory. Losing it forgets the highest version.
        now_ns: UTC nanoseconds.

    Raises:
        InputError: The state file cannot be read.
        Refused: What the state file holds is not signed by the pinned administrators.
    """

    def __init__(self, path: Path, admins: Admins, *, state: Path, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._admins = admins
        self._state_path = state
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._mark: tuple[int, int, int] | None = None
        self._state = self._recall()
        self._policy = None if self._state.active is None else Policy(self._state.active.rulebook)
        self._look()

    def current(self) -> Policy:
        """The active policy.

        Raises:
            Refused: Rule `no-policy`: none is active yet.
        """
        with self._lock:
            self._look()
            if self._policy is None:
                raise Refused(f"no policy of {self._path} is active", rule="no-policy")
            return self._policy

    # --- a `Judge`, each time by the policy of that moment

    @property
    def version(self) -> int:
        return self.current().version

    @property
    def digest(self) -> str:
        return self.current().digest

    @property
    def document(self) -> PolicyDocument:
        return self.current().document

    @property
    def groups(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        return self.current().groups

    @property
    def names(self) -> Names:
        return self.current().names

    @property
    def assets(self) -> frozenset[str]:
        return self.current().assets

    def caps(self, chain_id: int) -> ChainCaps:
        return self.current().caps(chain_id)

    def parties(self, proposal: Proposal) -> frozenset[Address]:
        return self.current().parties(proposal)

    def evaluate(self, proposal: Proposal, *, spent: Spent, facts: Facts = NOTHING_KNOWN) -> Decision:
        return self.current().evaluate(proposal, spent=spent, facts=facts)

    def judge(self, action: Action, *, spent: Spent, facts: Facts = NOTHING_KNOWN) -> Decision:
        return self.current().judge(action, spent=spent, facts=facts)

    def check_fees(self, chain_id: int, *, gas_limit: int, fee_per_gas_wei: int) -> None:
        self.current().check_fees(chain_id, gas_limit=gas_limit, fee_per_gas_wei=fee_per_gas_wei)

    # --- which policy that is

    def _look(self) -> None:
        mark = _mark(self._path)
        if mark is not None and mark != self._mark:
            self._mark = mark
            try:
                self._accept(load_bundle(self._path))
            except PlatformError as exc:
                # What is active stays active; a bad file must not be a way to stop or to loosen anything.
                log.error("policy.bundle_refused", path=str(self._path), error=str(exc))
        self._turn()

    def _accept(self, bundle: Bundle) -> None:
        """Take a new bundle as the next one; one that is known already changes nothing."""
        state, now_s = self._state, self._now_ns() // _NS
        known = {b.rulebook.digest for b in (state.active, state.pending) if b is not None}
        signed_s = check_quorum(bundle, self._admins)
        if bundle.rulebook.digest in known:
            return
        current = None if state.active is None else state.active.rulebook
        check_successor(bundle, signed_s=signed_s, highest=state.highest, current=current, now_s=now_s)
        self._remember(_State(bundle.rulebook.version, state.active, bundle, now_s))
        log.info("policy.accepted", version=bundle.rulebook.version, digest=bundle.rulebook.digest)

    def _turn(self) -> None:
        """Let the pending bundle become active when its time has come."""
        state = self._state
        if state.pending is None:
            return
        current = None if state.active is None else state.active.rulebook
        if self._now_ns() // _NS < effective_s(state.pending, seen_s=state.pending_seen_s, current=current):
            return
        policy = Policy(state.pending.rulebook)
        self._remember(_State(state.highest, state.pending, None, 0))
        self._policy = policy
        log.info("policy.activated", version=policy.version, digest=policy.digest)

    def _remember(self, state: _State) -> None:
        text = json.dumps(
            {
                "highest": state.highest,
                "active": None if state.active is None else state.active.to_json(),
                "pending": None if state.pending is None else state.pending.to_json(),
                "pending_seen_s": state.pending_seen_s,
            }
        )
        write_durably(self._state_path, text)
        self._state = state

    def _recall(self) -> _State:
        if not self._state_path.exists():
            return _State(0, None, None, 0)
        try:
            data = json.loads(self._state_path.read_text(encoding="utf-8"))
            state = _State(
                int(data["highest"]), _bundle(data["active"]), _bundle(data["pending"]), int(data["pending_seen_s"])
            )
        except (OSError, ValueError, TypeError, KeyError) as exc:
            raise InputError(f"{self._state_path} does not hold a policy's state: {exc}") from exc
        for bundle in (state.active, state.pending):
            if bundle is not None:
                check_quorum(bundle, self._admins)
        return state


def write_durably(path: Path, text: str) -> None:
    """Replace a file such that after a power cut it is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _bundle(text: Any) -> Bundle | None:
    return None if text is None else read_bundle(text)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
