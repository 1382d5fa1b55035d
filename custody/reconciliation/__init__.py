"""Books against the places that hold the value: chains at a finalized block, exchanges, and what is owed."""

from custody.reconciliation.chains import ChainPlaces, ChainReconciler
from custody.reconciliation.findings import Comparison, Explanation, Report
from custody.reconciliation.ports import ChainReads, Unbooked, UnbookedSource, VenueBalances
from custody.reconciliation.reconciling import Reconciliation
from custody.reconciliation.settings import ReconciliationSettings
from custody.reconciliation.solvency import AssetGroup, Solvency, solvency
from custody.reconciliation.unbooked import unbooked_transactions
from custody.reconciliation.venues import VenueReconciler

__all__ = [
    "AssetGroup",
    "ChainPlaces",
    "ChainReads",
    "ChainReconciler",
    "Comparison",
    "Explanation",
    "Reconciliation",
    "ReconciliationSettings",
    "Report",
    "Solvency",
    "Unbooked",
    "UnbookedSource",
    "VenueBalances",
    "VenueReconciler",
    "solvency",
    "unbooked_transactions",
]
