"""Requests that mean harm, and requests that only look strange; all made here, none kept."""
