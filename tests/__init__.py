"""Tests; the folders mirror those of the product."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""
