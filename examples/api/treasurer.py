"""A treasurer pays a client out: asks and confirms, two people read and sign, the vault's signer checks and pays.

capstan up --demo --data-dir var/api      (in another terminal)
python examples/api/treasurer.py var/api
"""

from __future__ import annotations

import time

from client import Client, Refused, once

CLIENT, PARTNER = "ulla", "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"


def main() -> None:
    tom, ada, alf = Client.of("tom"), Client.of("ada"), Client.of("alf")
    owed = balance(tom)
    print(f"{CLIENT} is owed {owed['available']} USDC")

    # Asking is confirmed by the person with a code, and happens once for its key. The funds are held from here on.
    wanted = {"client": CLIENT, "asset": "USDC", "amount": "2500", "to": {"address": PARTNER}}
    paid = tom.post("/v1/withdrawals", wanted, once=once(), confirm=True)
    print(f"{paid['id']} asked by {paid['asked_by']}: {balance(tom)['available']} USDC are left")

    # Policy wants two of the approvers, and nobody approves what he asked for.
    asked = wait(lambda: find(ada, paid["id"]))
    print(asked["text"])
    try:
        sign(tom, asked)
    except Refused as no:
        print(f"tom may not: {no.code}")
    for person in (ada, alf):
        # They read the words. That words and digest belong together, their own `capstan approvals` says, and so does
        # each signer again before it signs: docs/approvals.md.
        state = sign(person, asked)["state"]
        print(f"{person.person['email']} signs: {state}")

    done = wait(lambda: ended(tom, paid["id"]))
    print(f"{done['state']} in {done['tx_hash']}: " + ", ".join(step["step"] for step in done["history"]))
    assert done["state"] == "booked", done
    print(f"{CLIENT} is owed {balance(tom)['available']} USDC")


def balance(tom: Client) -> dict[str, str]:
    balances: list[dict[str, str]] = tom.get(f"/v1/clients/{CLIENT}")["balances"]
    return next(row for row in balances if row["symbol"] == "USDC")


def find(person: Client, intent: str) -> dict | None:
    """What a person is asked about; None until policy has judged it."""
    return next((row for row in person.get("/v1/approvals")["data"] if row["id"] == intent), None)


def sign(person: Client, asked: dict) -> dict:
    """Approve with the person's own key, which the policy names."""
    public = person.secret.public_key().public_bytes_raw().hex()
    proof = {"signature": person.secret.sign(bytes.fromhex(asked["digest"])).hex()}
    body = {"key": f"ed25519:{public}", "verdict": "approve", "proof": proof}
    return person.post(f"/v1/approvals/{asked['id']}/signatures", body)


def ended(tom: Client, withdrawal: str) -> dict | None:
    found = tom.get(f"/v1/withdrawals/{withdrawal}")
    return found if found["has_ended"] else None


def wait(look):
    """Look until there is something. A program that runs for long follows the stream or takes webhooks instead."""
    for _ in range(600):
        if found := look():
            return found
        time.sleep(0.1)
    raise SystemExit("nothing came in a minute: is `capstan up --demo` still running?")


if __name__ == "__main__":
    main()
