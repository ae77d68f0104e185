# SPDX-License-Identifier: Apache-2.0
"""The parties' constitution: who may say what, and what is in force."""
