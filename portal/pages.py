"""A template and what it prints -> the page in the frame of whoever looks: language, theme, zone, navigation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from center.codes import Role
from center.identity import Actor
from center.ports import Clock
from center.web import PageRequest, Render
from portal.frame.environment import pages_of
from portal.frame.frame import Frame, NavItem

ClinicName = Callable[[str, str], str]
ROOT = Path(__file__).resolve().parent.parent
#: Folders with pages and texts, by the name that templates use.
FOLDERS = {
    "worklist": ROOT / "worklist" / "pages",
    "administration": ROOT / "portal" / "administration" / "pages",
    "jobs": ROOT / "portal" / "jobs" / "pages",
    "audit": ROOT / "portal" / "audit" / "pages",
    "access": ROOT / "portal" / "access" / "pages",
}
#: Who finds what in the top bar.
NAV: tuple[tuple[Role, NavItem], ...] = (
    (Role.READER, NavItem("/worklist", "portal.nav.worklist")),
    (Role.TECHNICIAN, NavItem("/clinic", "portal.nav.clinic")),
    (Role.CLINIC_DOCTOR, NavItem("/clinic", "portal.nav.clinic")),
    (Role.DISPATCHER, NavItem("/dispatch", "portal.nav.dispatch")),
    (Role.ADMINISTRATOR, NavItem("/administration", "portal.nav.administration")),
    (Role.ADMINISTRATOR, NavItem("/audit", "portal.nav.audit")),
    (Role.REGULATOR, NavItem("/audit", "portal.nav.audit")),
)
#: Where images are read it is dark and dense, unless the person chose otherwise (UI.md section 2).
_READING_PATHS = ("/worklist", "/cases", "/dispatch")


def renderer(clock: Clock, *, demo: bool, clinic_name: ClinicName) -> Render:
    """Renders with the texts of all rooms; clinic_name: (code, language) -> name, for the top bar."""
    pages = pages_of({name: folder for name, folder in FOLDERS.items() if folder.is_dir()})

    def render(template: str, page: PageRequest, context: Mapping[str, Any]) -> str:
        frame = frame_of(page, clock, demo, clinic_name)
        return pages.get_template(template).render(frame=frame, **context)

    return render


def frame_of(page: PageRequest, clock: Clock, demo: bool, clinic_name: ClinicName) -> Frame:
    actor = page.session.actor if page.session else None
    reading = page.url.startswith(_READING_PATHS)
    return Frame(
        lang="en" if page.lang == "en" else "zh",
        now=clock.now(),
        url=page.url,
        csrf=page.session.csrf if page.session else "",
        theme=page.theme or ("dark" if reading else "light"),
        density=page.density or ("dense" if reading else "roomy"),
        person=actor.name if actor else "",
        roles=_roles(actor),
        clinic=_clinic(actor, clinic_name, page.lang),
        nav=_nav(actor),
        demo=demo,
        person_en=actor.name_en if actor else "",
    )


def _roles(actor: Actor | None) -> tuple[str, ...]:
    return tuple(sorted({f"portal.role.{m.role}" for m in actor.memberships})) if actor else ()


def _clinic(actor: Actor | None, clinic_name: ClinicName, lang: str) -> str:
    own = sorted(actor.own_clinics) if actor else []
    return clinic_name(own[0], lang) if len(own) == 1 else ""


def _nav(actor: Actor | None) -> tuple[NavItem, ...]:
    if actor is None:
        return ()
    items = [item for role, item in NAV if actor.has_role(role)]
    return tuple(dict.fromkeys(items))
