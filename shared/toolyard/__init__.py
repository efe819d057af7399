"""Toolyard: what every part of the system, and every program outside it, agrees on."""

__version__ = "0.1.0"
