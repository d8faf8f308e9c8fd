"""Leads that were recorded one after another -> recordings whose leads were there at once, which the engine can read.

The engine compares leads beat by beat, so a lead that is there for a quarter of the time cannot stand beside one that is
there throughout.  What runs through is read as a whole; each stretch that is long enough is read with all its leads;
what is in neither is named, and costs the read its green.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from center.reads import Reason
from ecg.engine import SHORTEST_S
from ecg.signal import EcgSignal

_THROUGH: Final = 0.9
"""Share of the recording from which a lead counts as there throughout (ours)."""
_PART: Final = 0.6
"""A lead whose first and last sample lie closer than this share was recorded for a part of the time (ours)."""
_MOST_PIECES: Final = 12

Piece = tuple[EcgSignal, tuple[str, ...]]


def pieces_of(signal: EcgSignal, names: tuple[str, ...]) -> tuple[list[Piece], tuple[Reason, ...]]:
    """What is read of these leads, that with most leads first; and what to say of leads that are not looked at.

    A recording whose leads were there at once is one piece, itself.  names: at least one.
    """
    known = np.isfinite(np.stack([signal.lead(name) for name in names]))
    spans = [_span(row) for row in known]
    total = known.shape[1]
    if not any(0 < end - begin < _PART * total for begin, end in spans):
        return [(signal, names)], ()
    pieces: list[Piece] = []
    through = tuple(n for n, row in zip(names, known, strict=True) if row.mean() >= _THROUGH)
    edges = sorted({0, total, *(edge for begin, end in spans if end for edge in (begin, end))})
    for begin, end in pairwise(edges):
        there = tuple(n for n, row in zip(names, known, strict=True) if row[begin:end].mean() >= _THROUGH)
        if there and (end - begin) / signal.fs_hz >= SHORTEST_S and (len(there) > len(through)):
            pieces.append((replace(signal, samples=signal.samples[:, begin:end]), there))
    pieces = sorted(pieces, key=lambda piece: -len(piece[1]))[:_MOST_PIECES]
    if through:
        pieces.append((signal, through))
    read = {name for _, some in pieces for name in some}
    unread = [n for n, (begin, end) in zip(names, spans, strict=True) if end > begin and n not in read]
    if not pieces:  # nothing long enough: the engine says so, and that somebody is to look
        begin, end = max(pairwise(edges), key=lambda edge: edge[1] - edge[0])
        pieces = [(replace(signal, samples=signal.samples[:, begin:end]), names)]
    return pieces, (_unread_issue(unread, sorted(read, key=names.index)),) if unread else ()


def _span(known: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """From the first known sample to behind the last; (0, 0) where there is none."""
    there = np.flatnonzero(known)
    return (int(there[0]), int(there[-1]) + 1) if there.size else (0, 0)


def _unread_issue(leads: list[str], read: list[str]) -> Reason:
    left, looked = "、".join(leads), "、".join(read)
    return Reason(
        "leads_not_read",
        zh=f"导联 {left} 分段先后记录、每段过短，只显示，机器没有解读" + (f"；只解读了 {looked}。" if looked else "。"),
        en=f"Leads {left.replace('、', ', ')} were recorded in turn, too short to be read: shown, not looked at by the "
        "machine" + (f"; only {looked.replace('、', ', ')} was." if looked else "."),
    )
