# SPDX-License-Identifier: Apache-2.0
"""From the systems a lab already runs to numbers it can defend: one collector for each system."""
