# SPDX-License-Identifier: Apache-2.0
"""The intake party's room: sign what was handed in and when, hand it on, and show what the log has not taken."""
