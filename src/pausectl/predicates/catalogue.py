# SPDX-License-Identifier: Apache-2.0
"""All types of claim: importing this module is what makes them known to `base.read`."""

from __future__ import annotations

from pausectl.predicates.accession import Accession
from pausectl.predicates.base import Predicate
from pausectl.predicates.capability import Capability
from pausectl.predicates.checkpoint import Mark
from pausectl.predicates.close import Close
from pausectl.predicates.correction import Correction
from pausectl.predicates.energy import Energy
from pausectl.predicates.inventory import Inventory
from pausectl.predicates.model import Model
from pausectl.predicates.pause import Declaration, Order
from pausectl.predicates.received import Received
from pausectl.predicates.run import Run
from pausectl.predicates.succession import Succession
from pausectl.predicates.usage import Usage

#: In the order in which a newcomer meets them.
TYPES: tuple[type[Predicate], ...] = (
    Accession, Order, Declaration, Inventory, Usage, Energy, Run, Model, Capability, Mark, Close, Correction,
    Received, Succession,
)  # fmt: skip
