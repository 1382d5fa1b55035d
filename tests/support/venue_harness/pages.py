"""The pages that are made from the matrix and the profiles: docs/venues/matrix.md and one for each profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cex.venues import ClientIdRule, Profile, profiles
from cex.venues.matrix import FEATURES, FILLED, Capability, OrderForm

_MADE = "<!-- Made by `make venues`; edit cex/venues/*.toml or tests/support/venue_harness instead. -->"


def matrix_page(venues: Sequence[Capability], version: str) -> str:
    """The whole matrix, with what each word means and what each venue was asked."""
    trading = sum(venue.trades for venue in venues)
    lines = [
        "# Which venue has what",
        _MADE,
        "",
        f"{len(venues)} venues of ccxt {version}. The adapter trades on {trading} and follows the books of all others",
        "that have one. `make venues` runs the adapter's own parts against a server on this machine and writes this",
        "page and `cex/venues/matrix.json`, which `capstan venues list` shows and the adapter obeys: where an order",
        "could be lost, keys are refused at the start, with the reason below. None of it was tried on the venues.",
        "",
        "## What the words mean",
        "",
        "| feature | way | venues | how it is filled |",
        "|---|---|---|---|",
    ]
    for (feature, way), text in FILLED.items():
        count = Counter(venue.features[feature] for venue in venues)[way]
        lines.append(f"| {feature} | {way} | {count} | {text} |")
    lines += ["", "## The venues", "", f"| venue | kinds | testnet | trades here | {' | '.join(FEATURES)} |"]
    lines.append("|---" * (len(FEATURES) + 4) + "|")
    for venue in venues:
        name = f"[{venue.id}]({venue.id}.md)" if venue.has_profile else venue.id
        ways = " | ".join(venue.features[feature] for feature in FEATURES)
        has_testnet = "yes" if venue.has_testnet else "no"
        lines.append(
            f"| {name} | {', '.join(venue.kinds)} | {has_testnet} | {'yes' if venue.trades else 'no'} | {ways} |"
        )
    lines += ["", "## Where trading is refused", "", "| venue | why |", "|---|---|"]
    lines += [f"| {venue.id} | {venue.why_not} |" for venue in venues if not venue.trades]
    lines += [
        "",
        "## What was asked",
        "",
        "As it arrived: where symbol, side, size, price and our id stand, and what looks like a key or a signature.",
        "",
        "| venue | markets | book | order | symbol | side | size | price | our id | signed by | cancel |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_asked(venue) for venue in venues]
    return "\n".join(lines) + "\n"


def _asked(venue: Capability) -> str:
    order, cancel = venue.order, venue.cancel
    cells = (venue.markets, venue.book.call, order.call, order.symbol, order.side, order.size, order.price)
    ids = (order.client_order_id, ", ".join(order.signed), _named(cancel))
    return f"| {venue.id} | {' | '.join(_code(cell) for cell in (*cells, *ids))} |"


def _named(cancel: OrderForm) -> str:
    return f"{cancel.call} {cancel.order_id or cancel.client_order_id}".strip()


def _code(text: str) -> str:
    return f"`{text}`" if text else "–"


def profile_page(profile: Profile, venue: Capability) -> str:
    """One venue: what is known of it, what the adapter does there."""
    lines = [f"# {profile.title}", _MADE, ""]
    lines += [f"- {note}" for note in profile.notes]
    state = "The adapter trades here." if venue.trades else f"The adapter does not trade here: {venue.why_not}."
    testnet = "It has a test environment." if venue.has_testnet else "It has no test environment."
    lines += ["", f'{state} {testnet} `exchange = "{profile.exchange}"`; markets: {", ".join(venue.kinds)}.', ""]
    lines += ["| feature | way | how it is filled |", "|---|---|---|"]
    for feature in FEATURES:
        way = venue.features[feature]
        lines.append(f"| {feature} | {way} | {FILLED[feature, way]} |")
    lines += ["", "## Order ids", "", _id_text(profile.client_order_id)]
    lines += ["", "## When is an order's absence believed?", "", _late_text(profile)]
    if profile.checksum is not None:
        levels = f" over {profile.checksum.levels} levels" if profile.checksum.levels else ""
        lines += ["", "## Is the book right?", "", f"By {profile.checksum.kind}{levels}. {profile.checksum.note}"]
    if profile.rates:
        lines += ["", "## Limits", "", "| counted | at most | in | |", "|---|---|---|---|"]
        lines += [f"| {rate.kind} | {rate.limit:,} | {rate.window_s} s | {rate.note} |" for rate in profile.rates]
    if profile.dead_man is not None:
        dead = profile.dead_man
        span = f" {dead.seconds_min} to {dead.seconds_max} s." if dead.seconds_max else ""
        lines += ["", "## When we fall silent", "", f"Dead-man's switch: {dead.kind}.{span} {dead.note}"]
    lines += ["", "## Sources", ""] + [f"- <{source}>" for source in profile.sources]
    return "\n".join(lines) + "\n"


def _late_text(profile: Profile) -> str:
    own = {
        "": "Requests older than the window (`recv_window_ms`) are refused by the venue",
        "deadline": "Each order carries a `deadline`, `recv_window_ms` on (two seconds at the least)",
        "expiresAfter": "Each order is signed with `expiresAfter`, `recv_window_ms` on",
    }[profile.expiry]
    if profile.late_s:
        return f"The venue may take a request up to {profile.late_s} s after its stamp: until then it is waited for."
    return f"{own}: an order that is unknown then, and a second later, was never there."


def _id_text(rule: ClientIdRule) -> str:
    match rule.kind:
        case "text":
            kind = f"Text that matches `{rule.pattern}`" + (f" after `{rule.prefix}`" if rule.prefix else "")
        case "integer":
            kind = f"An integer below 2**{rule.bits}; a table keeps which is whose"
        case "uuid":
            kind = "A UUID, into which ids of up to 20 characters are packed"
        case _:
            kind = "128 bits in hexadecimal, into which ids of up to 20 characters are packed"
    asks = "asked for and cancelled" if rule.ask and rule.cancel else "cancelled" if rule.cancel else ""
    by_id = f"an order can be {asks} by it" if asks else "an order is cancelled by the venue's own id"
    return f"{kind}, sent as ccxt's `{rule.place}`; {by_id}."


def pages(venues: Sequence[Capability], version: str) -> dict[str, str]:
    """Every page by its name under docs/venues."""
    by_id = {venue.id: venue for venue in venues}
    made = {f"{name}.md": profile_page(profile, by_id[name]) for name, profile in profiles().items()}
    return made | {"matrix.md": matrix_page(venues, version)}
