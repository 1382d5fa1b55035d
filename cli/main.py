"""`capstan`: noun, then verb. Errors are one line with a hint; a traceback only with --debug."""

from __future__ import annotations

import sys
import traceback
from collections.abc import MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cli import output
from domain import InvariantError, PlatformError

COMMANDS = {
    "demo": ("cli.demo.command", "Run the main job: trade a sandbox exchange against Uniswap on a local chain."),
    "up": ("cli.up", "Run an installation: API, engine, workers and signer in one command."),
    "doctor": ("cli.doctor", "Say what is installed, reachable and switched on."),
    "kill": ("cli.kill", "Cancel every open order and stop all strategies."),
    "engine": ("cli.engine", "Run the trading engine; trade its market again."),
    "ramp": ("cli.ramp", "Capital by stages: up by two people and checks, down by one."),
    "replay": ("cli.replay", "Replay a run's journal: the same decisions, or where they differ."),
    "backtest": ("cli.backtest", "Strategies over recorded or made-up markets, on simulated venues."),
    "strategies": ("cli.strategies", "Strategies that ship: kinds, schemas, files."),
    "advise": ("cli.advise", "A target allocation from what can be borne, and the strategy that keeps it."),
    "models": ("cli.models", "Models of bars: train, list, evaluate, serve."),
    "execute": ("cli.execute", "Parent orders: plan, try on a market, report."),
    "data": ("cli.data", "Recordings into event stores, and what is in them."),
    "venues": ("cli.venues", "Exchanges: what each has, and how what it lacks is filled."),
    "sandbox": ("cli.sandbox", "An exchange of your own that speaks the Binance spot API."),
    "chain": ("cli.chain", "A local chain with the genuine Uniswap contracts."),
    "dex": ("cli.dex.command", "Decentralised exchanges: quote, route, swap, liquidity, arbitrage."),
    "wallets": ("cli.wallets", "Create, import and derive keys."),
    "signer": ("cli.signer", "The process that holds the keys."),
    "withdrawals": ("cli.withdrawals", "Clients' withdrawals, on a chain or by an exchange."),
    "backup": ("cli.backup", "Sealed backups of every trust zone, and putting them back."),
    "cosigner": ("cli.cosigner", "The parties of an MPC committee, one process each."),
    "worker": ("cli.worker", "Background work: deposits, sweeps, shares, books, audit."),
    "custody": ("cli.custody", "Deposit contracts and what custody keeps on a chain."),
    "api": ("cli.api", "HTTP over an installation."),
    "settings": ("cli.settings_reference", "Every key of capstan.toml; check a file."),
    "approvals": ("cli.approvals", "What waits for people: read it, approve it, reject it."),
    "policy": ("cli.policy", "What may leave: lint, explain, try, sign and activate policies."),
    "transactions": ("cli.transactions", "Transactions on their way: list, follow, cancel, hold, speed up."),
    "ledger": ("cli.ledger", "The double-entry books."),
    "audit": ("cli.audit", "The hash-chained audit log and its signed checkpoints."),
}


class LazyGroup(TyperGroup):
    """Imports a command's module when it is used: `capstan --help` must not load web3 and ccxt."""

    _is_listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, help_text = COMMANDS[cmd_name]
        if self._is_listing:
            return type(self)(name=cmd_name, help=help_text)  # Only its name and help are shown.
        command = typer.main.get_command(import_module(module).app)
        command.name = cmd_name
        # Each group was an application of its own to typer, which gives those options that install completions.
        command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
        return command


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(version("capstan"))
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """Capstan: trade crypto and guard it, in one system."""
    output.DEBUG = debug


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; always leaves by SystemExit."""
    if arguments is None:
        _keep_output_clean()
    try:
        # Not standalone: typer would draw its errors as a box over several lines.
        code = typer.main.get_command(app).main(args=arguments, prog_name="capstan", standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except Exception as exc:
        sys.exit(report_error(exc))
    if code == 130:
        output.fail("interrupted")
    sys.exit(code if isinstance(code, int) else 0)


def _keep_output_clean() -> None:
    """Show warnings only, on standard error: what a command prints may be read by a machine. Servers set up their own.

    structlog's own default is everything on standard output.
    """
    import logging

    import structlog

    from cli.uncaught import log_what_nobody_caught

    log_what_nobody_caught()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    )


def _without_secrets(_logger: Any, _name: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    # Imported with the first event: `capstan --help` writes none.
    from runtime.redaction import redact_fields

    return redact_fields(fields)


def report_error(exc: BaseException) -> int:
    """Print an error the way a person can use it, without the secrets in it; return the exit code."""
    from runtime.redaction import redact_text

    if output.DEBUG:
        output.say(redact_text("".join(traceback.format_exception(exc))))
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    if isinstance(exc, InvariantError):
        text = redact_text(f"internal inconsistency: {exc}")
        output.fail(text, hint="trading was stopped; please report this with --debug output")
        return 70
    if isinstance(exc, PlatformError):
        output.fail(redact_text(str(exc)), hint=redact_text(exc.hint))
        return 1
    if isinstance(exc, typer.Abort):
        output.fail("aborted")
        return 1
    if isinstance(exc, TyperException):
        context = getattr(exc, "ctx", None)
        command = context.command_path if context is not None else "capstan"
        # Without a verb typer has printed the help already, and has nothing to say.
        if message := exc.format_message():
            output.fail(message, hint=f"{command} --help")
        return exc.exit_code
    output.fail(redact_text(f"unexpected {type(exc).__name__}: {exc}"), hint="run again with --debug for the traceback")
    return 70
