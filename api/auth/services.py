"""Everything that decides who somebody is, put together over a database, a clock and the server's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from api.auth.account_signatures import ChainReader
from api.auth.api_keys import LastUses
from api.auth.challenges import Challenges
from api.auth.gate import RequestGate
from api.auth.logins import Logins
from api.auth.nonces import MemoryNonces, Nonces, RedisNonces
from api.auth.oauth import Codes
from api.auth.passkeys import Passkeys
from api.auth.passwords import Passwords
from api.auth.rates import MemoryRates, Rates, RedisRates
from api.auth.sealing import Seal
from api.auth.sessions import Sessions
from api.auth.settings import ApiSettings
from api.auth.standing import Standings
from api.auth.step_up import StepUps
from api.auth.tickets import Tickets
from api.auth.tokens import Tokens
from api.core.keys import ServerKey
from custody.audit import AuditLog
from runtime import Clock
from runtime.batches import Batches
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class Auth:
    """One process's."""

    settings: ApiSettings
    clock: Clock
    database: Database
    seal: Seal
    audit: AuditLog
    passwords: Passwords
    challenges: Challenges
    tokens: Tokens
    sessions: Sessions
    standings: Standings
    step_ups: StepUps
    passkeys: Passkeys
    chains: Mapping[int, ChainReader]
    """Chains whose contract accounts can be asked for a signature."""
    logins: Logins
    codes: Codes
    tickets: Tickets
    rates: Rates
    gate: RequestGate

    @classmethod
    def over(
        cls,
        *,
        clock: Clock,
        database: Database,
        key: ServerKey,
        batches: Batches,
        settings: ApiSettings,
        chains: Mapping[int, ChainReader] | None = None,
    ) -> Self:
        """Make all of it. With `redis` in the settings, nonces and rates are shared by several processes."""
        seal = Seal(key.derive("auth/sealed"))
        challenges = Challenges(clock.now_ns)
        tokens = Tokens(database, clock.now_ns, seal, settings)
        standings = Standings(database, clock.now_ns, seal)
        step_ups = StepUps(database, challenges)
        tickets = Tickets(batches, challenges)
        passwords, audit = Passwords(settings.password_memory_kib), AuditLog(database, clock.now_ns)
        sessions = Sessions(database, clock.now_ns, key.derive("auth/refresh-tokens"), settings, audit)
        nonces: Nonces
        rates: Rates
        if settings.redis:
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            # A connection that broke is opened anew once; a Redis that hangs holds a request for seconds, not minutes.
            redis = Redis.from_url(
                settings.redis, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), retries=1)
            )
            nonces, rates = RedisNonces(redis), RedisRates(redis)
        else:
            nonces, rates = MemoryNonces(clock.now_ns() // 1_000_000), MemoryRates()
        return cls(
            settings=settings,
            clock=clock,
            database=database,
            seal=seal,
            audit=audit,
            passwords=passwords,
            challenges=challenges,
            tokens=tokens,
            sessions=sessions,
            standings=standings,
            step_ups=step_ups,
            passkeys=Passkeys(challenges, clock.now_ns, settings),
            chains=chains or {},
            logins=Logins(
                database=database,
                now_ns=clock.now_ns,
                seal=seal,
                passwords=passwords,
                sessions=sessions,
                tokens=tokens,
            ),
            codes=Codes(sessions, clock.now_ns),
            tickets=tickets,
            rates=rates,
            gate=RequestGate(
                now_ns=clock.now_ns,
                settings=settings,
                standings=standings,
                tokens=tokens,
                nonces=nonces,
                rates=rates,
                step_ups=step_ups,
                tickets=tickets,
                used=LastUses(batches),
            ),
        )
