"""Clients' orders: written with their keys, placed by the engine once each."""

from api.orders.client_orders import ClientOrders, NewOrder, Placed

__all__ = ["ClientOrders", "NewOrder", "Placed"]
