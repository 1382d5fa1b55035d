"""Alerts: what a person should know at once, from when it is found until it is over, told until somebody sees to it.

    facts ──> findings ──> book (open → acknowledged → resolved) ──> outbox ──> webhooks, PagerDuty, e-mail, push

A finding is opened once for its key. A press of the kill switch raises its alert in its own transaction; everything
else is found by a worker's task (`alerts.watch`), which looks at how things stand, so a watch that was missed loses
nothing. Channels are receivers of the outbox that webhooks have (`api.webhooks`): one ladder, at least once.

Nothing is imported here: every command reads `api.alerts.settings`, and most want no tables.
"""
