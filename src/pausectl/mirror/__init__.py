# SPDX-License-Identifier: Apache-2.0
"""The mirror's room: follow a log, check every byte, keep and serve it, vouch that it can be had."""
