"""The whole settings tree, drawn where every package meets. `capstan settings` prints it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from api.alerts.settings import AlertSettings
from api.auth.settings import ApiSettings
from api.backtests.settings import BacktestSettings
from api.swaps.settings import SwapSettings
from cex import VenueSettings
from custody import PolicySettings
from custody.audit import AuditSettings
from custody.deposits.settings import DepositSettings
from custody.reconciliation import ReconciliationSettings
from custody.withdrawals.settings import WithdrawalSettings
from engine.settings import EngineSettings
from runtime import SecretRef, SettingsBase, SettingsPart
from runtime.task_settings import TaskSettings
from runtime.tracing import TracingSettings


class ChainSettings(SettingsPart):
    """One EVM chain: how to reach it, and what stands on it."""

    chain_id: int = Field(gt=0)
    endpoints: tuple[str, ...] = Field(min_length=1)
    """JSON-RPC URLs, the preferred one first."""
    address_book: str
    """JSON file of tokens, contracts and pools, as `capstan chain devnet --addresses` writes it."""
    confirmations: int = Field(default=1, ge=1)
    """Depth at which a transaction is booked. 1 is for devnets; use 12 or more where blocks reorganise."""
    poll_ms: int = Field(default=250, ge=10)
    ws_url: str = ""
    """WebSocket endpoint that announces heads; a hint that saves polling time, never trusted."""
    pools: tuple[str, ...] = ()
    """Pools to follow, by label (`v3:USDC/WETH:500`), address or id; none means every pool of the address book."""
    private_endpoints: tuple[str, ...] = ()
    """JSON-RPC URLs that show transactions to block builders only. Plans marked private go there and nowhere else."""
    private_relays: tuple[str, ...] = ()
    """Relays that take `eth_sendPrivateTransaction`, for the same plans."""
    bundle_relays: tuple[str, ...] = ()
    """Relays that take `eth_sendBundle`, for plans marked as bundles."""
    access_lists: bool = False
    """Declare the storage a transaction touches (EIP-2930) where the node's estimates say that it saves gas."""
    relay_identity: SecretRef | None = None
    """The key relays know us by: a secp256k1 key that holds no funds. None: each process makes its own."""

    @model_validator(mode="after")
    def _private_is_not_public(self) -> Self:
        shared = set(self.endpoints) & {*self.private_endpoints, *self.private_relays, *self.bundle_relays}
        if shared:
            raise ValueError(
                "an endpoint is public or private, not both: one stands in endpoints and among the private"
            )
        return self


class CustodySettings(SettingsPart):
    """The vault account, the signer that holds its key, and what may leave it."""

    account: str
    signer_socket: str = "signer.sock"
    keystore: str = "keystore.json"
    password: SecretRef = "file:keystore.password"
    database: str = "sqlite:///capstan.db"
    deny_list: str = "deny-list.txt"
    """File of addresses nothing may be sent to, one a line. A file that cannot be read refuses everything."""
    operators: dict[str, str] = Field(default_factory=dict)
    """Ed25519 public keys in hex, by name, of the people who may lift a freeze. None: any two names may."""
    audit: AuditSettings = AuditSettings()
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    policy: PolicySettings | None = None
    policy_bundle: str = ""
    """A signed policy document in the place of `[custody.policy]`; see docs/policy.md."""
    policy_admins: str = ""
    """YAML of the administrators whose quorum the bundle needs."""
    withdrawals: WithdrawalSettings = WithdrawalSettings()
    deposits: DepositSettings | None = None
    """Clients' deposits on the chain of `[chain]`; see docs/deposits.md."""
    committee: str = ""
    """Coordinator's folder of the MPC committee whose shares are refreshed."""
    mpc_wallets: tuple[str, ...] = ()
    """The committee's keys."""

    @model_validator(mode="after")
    def _one_policy(self) -> Self:
        if bool(self.policy_bundle) != bool(self.policy_admins):
            raise ValueError("policy_bundle and policy_admins belong together")
        if (self.policy is None) != bool(self.policy_bundle):
            raise ValueError("either [custody.policy] or policy_bundle says what may leave, not both")
        return self


class LogSettings(SettingsPart):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class Settings(SettingsBase):
    """An installation. Paths are relative to the settings file."""

    mode: Literal["paper", "live"] = "paper"
    """`paper` trades on live data with simulated execution: nothing is sent. The default, on purpose."""
    paper_balances: dict[str, Decimal] = Field(default_factory=dict)
    """What a paper account starts with, by venue asset (`binance/USDC = 10000`)."""
    chain: ChainSettings | None = None
    custody: CustodySettings | None = None
    venues: Annotated[tuple[VenueSettings, ...], Field(min_length=1)]
    engine: EngineSettings = EngineSettings()
    api: ApiSettings = ApiSettings()
    alerts: AlertSettings = AlertSettings()
    tasks: TaskSettings = TaskSettings()
    backtests: BacktestSettings = BacktestSettings()
    swaps: SwapSettings = SwapSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

    @model_validator(mode="after")
    def _swaps_have_an_account(self) -> Self:
        if not self.swaps.account:
            return self
        if self.chain is None or self.custody is None or self.mode != "live":
            raise ValueError('swaps need [chain], [custody] and mode = "live"')
        if self.swaps.account.lower() == self.custody.account.lower():
            raise ValueError("the engine trades with custody.account: swaps need an account of their own")
        return self


def load_settings(path: Path) -> Settings:
    """Read an installation's settings file, the environment laid over it."""
    return Settings.load(path)
