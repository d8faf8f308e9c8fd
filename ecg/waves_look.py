"""The first look at a strip's beats: its views, and where P and T of every beat are.  Made once, for waves and atria."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg.marks import Beats
from ecg.strip import Strip
from ecg.waves_late import late_t
from ecg.waves_nets import Index, Scene
from ecg.waves_steps import Place, p_places, scene_of, t_places, tracks
from ecg.waves_tables import Tables
from ecg.waves_views import Floats, views_of


@dataclass(frozen=True, slots=True)
class Look:
    """live: int64 [row], the leads that carry a signal; ``scene`` shows these alone.  family: int64 [beat].

    p_track: float32 [position], log odds that a P wave's middle is there, positions ``step`` grid samples apart.
    p, t: the places of each beat's waves.
    """

    live: Index
    scene: Scene
    family: Index
    p_track: Floats
    step: float
    p: Place
    t: Place


def look_at(strip: Strip, beats: Beats, made: Tables) -> Look | None:
    """The look; None where there is no beat or no lead with a signal."""
    views = views_of(strip, beats.spikes)
    live = np.flatnonzero(views.live)
    if not len(beats) or not live.size:
        return None
    if live.size < len(strip.leads):
        views = views.of(live)
    scene = scene_of(views, np.clip(np.asarray(beats.at) / views.step, 0, views.length - 1))
    family = np.asarray(beats.family)
    p_track, t_track, step = tracks(scene, made.track)
    t = late_t(scene, t_places(scene, t_track, step, family), family)
    return Look(live, scene, family, p_track, step, p_places(scene, p_track, step, family, t), t)
