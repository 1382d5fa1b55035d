"""Venue profiles: what is known of a venue beyond ccxt, as data with its sources (`cex/venues/*.toml`).

`profile_of` gives a venue's profile, a plain one for those without a file.
"""

from cex.venues.profile import Checksum, ClientIdRule, DeadMan, Profile, Rate, client_id_rules, profile_of, profiles

__all__ = ["Checksum", "ClientIdRule", "DeadMan", "Profile", "Rate", "client_id_rules", "profile_of", "profiles"]
