"""What an exchange remembers across restarts, SIGKILL included.

After every command the recorder knows what changed; a group commit writes the new images of all of it at once, and
nothing that follows from it leaves the process before the group is on the disk. So whatever a client was told is true
after a restart, to the unit and the id, and no rule of matching is run again to find out: a newer version of the
exchange may read what an older one wrote.

    records    values as bytes under keys, and back
    recorder   collects what changed since the last group
    resume     puts what was read into a new exchange
    store      keys and values on a disk: SQLite or PostgreSQL
    commits    the group commit, and the gate at which answers wait for it

What is not kept: orders of the background (flow, replay), whose accounts come back with their balances unlocked; listen
keys, sessions and rate counters.
"""

from cex.sandbox.journal.commits import Commits, Gate, OpenGate
from cex.sandbox.journal.recorder import Recorder
from cex.sandbox.journal.resume import resume
from cex.sandbox.journal.store import Store, open_store

__all__ = ["Commits", "Gate", "OpenGate", "Recorder", "Store", "open_store", "resume"]
