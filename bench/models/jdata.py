"""JData: purchase in the session, cart abandonment after each event since the cart, the type of the next event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.models.event_log import Log
from bench.models.row import Row


def measure(given: Mapping[str, Any]) -> Row:
    """Five folds by shopper; every event with a known outcome is a row, of carts those up to the first purchase."""
    log = Log("jdata", given)
    row = Row()
    log.chance(row, "session_buy")
    log.chance(row, "abandon_cart")
    for events in given["after_cart"]:
        log.chance(row, "abandon_cart", events)
    log.next_type(row)
    return row
