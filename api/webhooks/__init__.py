"""What happens is told to URLs of the organisation's: signed, again and again until somebody has it, and never inside.

    announce() in the event's transaction ──> events + deliveries ──> webhooks.deliver (a worker) ──> the receiver

A delivery is a row before it is a request: what was committed is told, what was rolled back never was. At least once:
a worker that dies between request and note sends again, with the same `webhook-id`.


The channels of alerts (`api.alerts`) are receivers too: one outbox, one ladder, a `Teller` for each kind of them.
"""

from api.webhooks.delivery import LADDER_S, Deliverer, Reply, Tell, Told
from api.webhooks.guard import Guard
from api.webhooks.outbox import KINDS, Outbox
from api.webhooks.secrets import Secrets
from api.webhooks.services import Webhooks
from api.webhooks.teller import WebhookTeller

__all__ = [
    "KINDS", "LADDER_S", "Deliverer", "Guard", "Outbox", "Reply", "Secrets", "Tell", "Told", "WebhookTeller",
    "Webhooks",
]  # fmt: skip
