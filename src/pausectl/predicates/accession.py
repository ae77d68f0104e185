# SPDX-License-Identifier: Apache-2.0
"""accession/v1: a lab binds itself to an agreement, if enough others do (F-01, F-02)."""

from __future__ import annotations

from typing import ClassVar

from pausectl.agreement.types import Count, Id, Model, Positive, Ratio
from pausectl.predicates.base import Header, Predicate, predicate


class Conditions(Model):
    """What the set of bound labs, this one included, must look like. All ones, zero and empty: unconditional."""

    min_jurisdictions_count: Positive
    min_parties_count: Positive
    min_share: Ratio
    required_parties: tuple[Id, ...]


@predicate
class Accession(Predicate):
    """agreement_version: which version's terms. frontier_h100e_count: declared accelerators, H100 equivalents."""

    name: ClassVar[str] = "accession"
    role: ClassVar[str] = "lab"
    stream: ClassVar[str] = "accession"

    agreement_version: Positive
    conditions: Conditions
    frontier_h100e_count: Count
    header: Header
