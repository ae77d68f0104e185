# SPDX-License-Identifier: Apache-2.0
"""The one HTTP door, behind which a party's server stands, and the one HTTP client."""
