"""Signers: typed payload in, signature out. No policy, no node access, never a bare hash.

Keys are HD paths (`HdWallet`) or keystore files (`unlock_keystore`), in memory as `KeySigner`. In production they live
in a process of their own (`SignerService`, `capstan signer serve`) and everyone else holds a `SignerClient`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wallets.client import SignerClient
    from wallets.devnet_keys import DEVNET_MNEMONIC
    from wallets.evidence import Evidence
    from wallets.freezing import SignerFreeze, sign_lift
    from wallets.guard import DenyAll, Guard, Spent
    from wallets.hd import HdWallet, entropy_to_mnemonic, ethereum_path, generate_mnemonic, mnemonic_to_entropy
    from wallets.journal import SigningJournal
    from wallets.keystore import create_keystore, read_keystore, unlock_keystore, write_private_file
    from wallets.payloads import (
        AuthorizationToSign,
        MessageToSign,
        Network,
        Signature,
        SignedAuthorization,
        SignedTransaction,
        StatementToSign,
        TransactionToSign,
        TypedDataToSign,
    )
    from wallets.restored import mark_restored
    from wallets.service import SignerService
    from wallets.signer import KeySigner, LocalSigner, Signer
    from wallets.transactions import authority_of, is_cancel_form, parse, recover, signing_digest
else:
    from runtime.fronts import lazily

    _HOMES = {
        "wallets.client": "SignerClient",
        "wallets.devnet_keys": "DEVNET_MNEMONIC",
        "wallets.evidence": "Evidence",
        "wallets.freezing": "SignerFreeze sign_lift",
        "wallets.guard": "DenyAll Guard Spent",
        "wallets.hd": "HdWallet entropy_to_mnemonic ethereum_path generate_mnemonic mnemonic_to_entropy",
        "wallets.journal": "SigningJournal",
        "wallets.keystore": "create_keystore read_keystore unlock_keystore write_private_file",
        "wallets.payloads": (
            "AuthorizationToSign MessageToSign Network Signature SignedAuthorization SignedTransaction "
            "StatementToSign TransactionToSign TypedDataToSign"
        ),
        "wallets.restored": "mark_restored",
        "wallets.service": "SignerService",
        "wallets.signer": "KeySigner LocalSigner Signer",
        "wallets.transactions": "authority_of is_cancel_form parse recover signing_digest",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "DEVNET_MNEMONIC",
    "AuthorizationToSign",
    "DenyAll",
    "Evidence",
    "Guard",
    "HdWallet",
    "KeySigner",
    "LocalSigner",
    "MessageToSign",
    "Network",
    "Signature",
    "SignedAuthorization",
    "SignedTransaction",
    "Signer",
    "SignerClient",
    "SignerFreeze",
    "SignerService",
    "SigningJournal",
    "Spent",
    "StatementToSign",
    "TransactionToSign",
    "TypedDataToSign",
    "authority_of",
    "create_keystore",
    "entropy_to_mnemonic",
    "ethereum_path",
    "generate_mnemonic",
    "is_cancel_form",
    "mark_restored",
    "mnemonic_to_entropy",
    "parse",
    "read_keystore",
    "recover",
    "sign_lift",
    "signing_digest",
    "unlock_keystore",
    "write_private_file",
]
