"""The inference room's face: the names that portal may use."""

from __future__ import annotations

from inference.device import Device
from inference.film import film_reader
from inference.reads import Reader, ReadingRoom
from inference.registry import Registry, load_models
from inference.store import ReadStore

__all__ = ["Device", "ReadStore", "Reader", "ReadingRoom", "Registry", "film_reader", "load_models"]
