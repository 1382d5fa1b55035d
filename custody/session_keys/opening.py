"""The engine's host side: what is asked of custody at the start, and again and again while a key signs."""

from __future__ import annotations

import capstan_native as native

from custody.session_keys.keeper import Allotment, SessionKeys
from domain import Refused


def open_warden(
    keys: SessionKeys, key_id: int, key: native.HotKey, switch: native.FreezeSwitch, *, authority: bytes, now_ns: int
) -> native.SessionWarden:
    """Ask custody for a key's certificate and first allotment, and hold the key to them.

    Args:
        keys: Custody.
        key_id: Which key.
        key: The private part.
        switch: Stops the key here and at once.
        authority: Whose signature is believed: from this process's own settings, not from whoever answers.
        now_ns: UTC.

    Raises:
        Refused: The scope is frozen, the key is revoked, over, or has used its window up; or what custody answered is
            not signed by the authority, or about another key (rule `untrusted`).
    """
    certificate = keys.certificate(key_id)
    try:
        warden = native.SessionWarden(certificate.text, certificate.signature, authority, key, switch)
    except native.SigningRefused as exc:
        rule, reason = exc.args
        raise Refused(f"session key {key_id}: {reason}", rule=rule) from exc
    _allot(keys, warden, now_ns)
    return warden


def keep_allotted(
    keys: SessionKeys, warden: native.SessionWarden, *, value_min: int, count_min: int, now_ns: int
) -> None:
    """Renew the newest block, or fetch another when less than this is left of it.

    To be called off the hot path, a few times per `allotment_s`.

    Raises:
        Refused: Custody allots nothing: the key stops by itself when what it has is used or over.
    """
    newest = warden.newest(now_ns)
    if newest is not None and newest[1] >= value_min and newest[2] >= count_min:
        _take(warden, keys.renew(warden.key_id, warden.instance, newest[0]), now_ns)
    else:
        _allot(keys, warden, now_ns)


def _allot(keys: SessionKeys, warden: native.SessionWarden, now_ns: int) -> None:
    _take(warden, keys.allot(warden.key_id, warden.instance), now_ns)


def _take(warden: native.SessionWarden, allotment: Allotment, now_ns: int) -> None:
    try:
        warden.allot(allotment.statement.text, allotment.statement.signature, now_ns)
    except native.SigningRefused as exc:
        rule, reason = exc.args
        raise Refused(f"session key {warden.key_id}: {reason}", rule=rule) from exc
