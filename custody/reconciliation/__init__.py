"""Books against the places that hold the value: chains at a finalized block, exchanges, and what is owed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.reconciliation.chains import ChainPlaces, ChainReconciler
    from custody.reconciliation.coverage import AssetGroup, Solvency, solvency
    from custody.reconciliation.findings import Comparison, Explanation, Report
    from custody.reconciliation.ports import ChainReads, Unbooked, UnbookedSource, VenueBalances
    from custody.reconciliation.reconciling import Reconciliation
    from custody.reconciliation.settings import ReconciliationSettings
    from custody.reconciliation.unbooked import unbooked_transactions
    from custody.reconciliation.venues import VenueReconciler
else:
    from runtime.fronts import lazily

    _HOMES = {
        "custody.reconciliation.chains": "ChainPlaces ChainReconciler",
        "custody.reconciliation.findings": "Comparison Explanation Report",
        "custody.reconciliation.ports": "ChainReads Unbooked UnbookedSource VenueBalances",
        "custody.reconciliation.reconciling": "Reconciliation",
        "custody.reconciliation.settings": "ReconciliationSettings",
        "custody.reconciliation.coverage": "AssetGroup Solvency solvency",
        "custody.reconciliation.unbooked": "unbooked_transactions",
        "custody.reconciliation.venues": "VenueReconciler",
    }
    __getattr__ = lazily(__name__, _HOMES)


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
