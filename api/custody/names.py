"""How custody's policy and approvers know who asks."""

from __future__ import annotations

import re
from typing import Final

from sqlmodel import Session

from api.auth.principal import Principal
from api.auth.tables import UserRow

_NAME: Final = re.compile(r"[A-Za-z0-9:._@+\-]{1,64}")


def initiator_of(session: Session, who: Principal) -> str:
    """A person by the e-mail it logs in with, through its keys too; a program by its id.

    A policy that names its people by e-mail thereby keeps whoever asks from approving, in every signer: initiators and
    approvers are compared by name. An address that custody cannot write down is replaced by the person's id.
    """
    row = session.get(UserRow, who.user) if who.user else None
    if row is not None and _NAME.fullmatch(row.email):
        return row.email
    return who.user or who.actor
