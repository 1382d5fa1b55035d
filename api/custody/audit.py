"""Which audit records concern an organisation."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, or_, true
from sqlmodel import col, select

from api.auth.tables import ApiKeyRow, OAuthClientRow
from api.custody.tables import ClientRow
from api.custody.whose import Whose
from api.kill.tables import KillRow
from api.webhooks.tables import EndpointRow
from custody.audit import AuditRow
from custody.withdrawals.tables import WithdrawalRow


def audited(mine: Whose) -> ColumnElement[bool]:
    """The records of an organisation: about what is its own, or naming it. Of the house, which runs it all, every one.

    A person may be of several organisations: what is recorded of a person is shown to the one the record names.
    """
    if mine.is_house:
        return true()
    subject, own = col(AuditRow.subject), mine.organisation
    drawn = mine.client(col(WithdrawalRow.user))
    things: list[tuple[str, Any, ColumnElement[bool]]] = [
        ("withdrawal/", col(WithdrawalRow.withdrawal_id), drawn),
        ("transaction/", col(WithdrawalRow.withdrawal_id), drawn),
        ("intent/", col(WithdrawalRow.withdrawal_id), drawn),
        ("user/", col(ClientRow.id), col(ClientRow.organisation) == own),
        ("key/", col(ApiKeyRow.id), col(ApiKeyRow.organisation) == own),
        ("client/", col(OAuthClientRow.id), col(OAuthClientRow.organisation) == own),
        ("webhook/", col(EndpointRow.id), col(EndpointRow.organisation) == own),
        ("", col(KillRow.id), col(KillRow.organisation) == own),
    ]
    return or_(
        subject == f"organisation/{own}",
        # Details are canonical JSON: text within them has its quotes escaped and cannot look like this.
        col(AuditRow.detail).contains(f'"organisation":"{own}"', autoescape=True),
        *(subject.in_(select(prefix + name).where(condition)) for prefix, name, condition in things),
    )
