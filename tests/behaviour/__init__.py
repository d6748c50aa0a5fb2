"""Carpool seen from outside: one file a section of the contract, against the real daemon."""
