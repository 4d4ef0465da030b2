"""Downstream: what leaves the warehouse once the marts are built."""
