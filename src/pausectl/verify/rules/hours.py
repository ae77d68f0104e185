# SPDX-License-Identifier: Apache-2.0
"""Books of one hand that must balance: items of the inventory, hours of the installed accelerators.

A balance that holds is no evidence by itself, since a liar can pad idle; a balance that fails is a contradiction.
"""

from __future__ import annotations

from collections.abc import Iterator

from pausectl.accounting import compute
from pausectl.agreement.types import seconds
from pausectl.history.records import Case, Filed
from pausectl.predicates.inventory import Holding, Inventory, Stock
from pausectl.predicates.usage import Usage
from pausectl.verify.rules.base import Said, holds, not_applicable, rule, unproven, violated

_PLACES = ("installed", "spare", "sealed", "retired")
_TIMED = frozenset({"installed", "sealed"})  # what has hours to account for


def _latest(case: Case) -> Iterator[tuple[str, Filed[Inventory] | None, Filed[Usage] | None]]:
    for facility in case.facilities:
        stock, usage = case.book.inventory.get(facility, []), case.book.usage.get(facility, [])
        yield facility, stock[-1] if stock else None, usage[-1] if usage else None


@rule("INV-1")
def items_balance(case: Case) -> Iterator[Said]:
    """[INV-1] In the latest inventory of each facility, for each sku and place, the beginning count plus what moved in
    less what moved out MUST be the ending count, exactly, with every move inside the window and every move to or from
    outside naming its counterparty.

    Why: chips are countable; their balance has no error term.

    Cannot see: chips that are in nobody's books.
    """
    for facility, filed, _ in _latest(case):
        if filed is None:
            yield unproven(f"no inventory of {facility}")
            continue
        skus = [stock.sku for stock in filed.claim.stock]
        wrong = [f"{sku} is listed twice" for sku in sorted({sku for sku in skus if skus.count(sku) > 1})]
        wrong += [complaint for stock in filed.claim.stock for complaint in _complaints(case, stock)]
        if wrong:
            yield violated(f"{facility}: {'; '.join(wrong)}", filed.index)
        else:
            yield holds(f"{facility}: the items balance", filed.index)


def _complaints(case: Case, stock: Stock) -> Iterator[str]:
    counts: dict[str, int] = {place: _count(stock.beginning, place) for place in _PLACES}
    for move in stock.moves:
        for end, sign in ((move.origin, -1), (move.destination, 1)):
            if end in counts:
                counts[end] += sign * move.count
        if "outside" in (move.origin, move.destination) and move.counterparty is None:
            yield f"{stock.sku}: a move of {move.count} has no counterparty"
        if not case.start <= seconds(move.at) < case.end:
            yield f"{stock.sku}: a move of {move.count} at {move.at} is outside the window"
    for place, expected in counts.items():
        if expected != _count(stock.ending, place):
            yield f"{stock.sku}: {expected} {place} by the moves, {_count(stock.ending, place)} counted"


def _count(holding: Holding, place: str) -> int:
    return int(getattr(holding, f"{place}_count"))


@rule("INV-2")
def inventories_join(case: Case) -> Iterator[Said]:
    """[INV-2] The counts at the beginning of a facility's inventory MUST be those at the end of the one before it.

    Why: chips do not vanish between two windows.

    Cannot see: the first inventory's beginning.
    """
    for facility, filed, _ in _latest(case):
        previous = case.record.last_inventory.get(facility)
        if filed is None or previous is None:
            yield not_applicable(f"{facility}: nothing to join")
            continue
        before = {
            stock.sku: stock.ending for stock in previous.claim.stock if any(_count(stock.ending, p) for p in _PLACES)
        }
        after = {
            stock.sku: stock.beginning
            for stock in filed.claim.stock
            if any(_count(stock.beginning, p) for p in _PLACES)
        }
        if before == after:
            yield holds(f"{facility}: begins where the last inventory ended", previous.index, filed.index)
            continue
        skus = sorted(sku for sku in {*before, *after} if before.get(sku) != after.get(sku))
        said = f"{facility}: {', '.join(skus)} changed between two windows"
        if _follows(case, facility, previous):
            yield violated(said, previous.index, filed.index)
        else:
            yield unproven(f"{said}; an inventory between them may be missing", previous.index, filed.index)


def _follows(case: Case, facility: str, previous: Filed[Inventory]) -> bool:
    """Whether nothing can be missing between the last inventory and this one."""
    span = previous.claim.header.window
    torn = any(gap.party == case.lab and gap.stream == f"inventory/{facility}" for gap in case.gaps)
    return span is not None and seconds(span.end_at) == case.start and not torn


@rule("INV-3")
def meters_see_no_other_facility(case: Case) -> Iterator[Said]:
    """[INV-3] Every facility for which an independent meter attests energy to a lab MUST be one that the agreement
    lists for that lab.

    Why: a row that stands only in the counterparty's books is the strongest evidence of undeclared compute there is.

    Cannot see: a site behind no independent meter.
    """
    for facility, readings in case.book.energy.items():
        if facility not in case.facilities:
            read = ", ".join(f"{filed.claim.energy_wh} Wh" for filed in readings)
            yield violated(f"{readings[0].claim.header.party} read {read} at {facility}", *(f.index for f in readings))
    if set(case.book.energy) <= set(case.facilities):
        yield holds("meters read at listed facilities only")


@rule("HRS-1")
def hours_balance(case: Case) -> Iterator[Said]:
    """[HRS-1] For each facility and sku, available time plus borrowed time less the time filed in all categories MUST
    be zero within the larger of hours_tolerance of the available time and one accelerator-hour.

    Why: every accelerator does something at every moment, and doing nothing is one of the categories.

    Cannot see: what the hours were used for; a liar makes this zero by padding idle.
    """
    for facility, stock, usage in _latest(case):
        if stock is None or usage is None:
            yield unproven(f"{facility}: needs both an inventory and a usage statement")
            continue
        available = {entry.sku: _available(case, entry) for entry in stock.claim.stock}
        skus = {*available, *(work.sku for work in usage.claim.work)}
        wrong = [said for sku in sorted(skus) if (said := _hours(case, usage.claim, sku, available.get(sku, 0)))]
        if wrong:
            yield violated(f"{facility}: {'; '.join(wrong)}", stock.index, usage.index)
        else:
            yield holds(f"{facility}: hours balance", stock.index, usage.index)


def _available(case: Case, stock: Stock) -> int:
    """∫ N dt over the window, of what is installed or sealed; piecewise from the moves."""
    standing = stock.beginning.installed_count + stock.beginning.sealed_count
    total = standing * (case.end - case.start)
    for move in stock.moves:
        change = (move.destination in _TIMED) - (move.origin in _TIMED)
        total += change * move.count * (case.end - max(case.start, min(case.end, seconds(move.at))))
    return total


def _hours(case: Case, usage: Usage, sku: str, available: int) -> str | None:
    booked = sum(work.accelerator_seconds for work in usage.work if work.sku == sku)
    leased = sum(lease.accelerator_seconds for lease in usage.leases_in if lease.sku == sku)
    residual = compute.hours_residual(available, leased, booked)
    tolerance = compute.hours_tolerance(available, case.agreement.document.statistics.hours_tolerance.value)
    if abs(residual) <= tolerance:
        return None
    return (
        f"{sku}: {booked} accelerator-seconds filed, {available + leased} available, {float(tolerance):.0f} tolerated"
    )
