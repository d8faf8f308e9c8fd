"""Permission: fewer roles, agreements or licences never permit more, and every refusal is of the table of failures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from center.codes import Role, Service
from center.errors import Forbidden, NotFound
from center.identity import Actor, ClinicId, Membership, PersonId, Reading
from center.permits import GRANTS, LICENSED, Act, Thing, permit, permitted

CLINICS = tuple(ClinicId(c) for c in ("shigou", "nanwan", "county"))
memberships = st.frozensets(st.builds(Membership, st.sampled_from(CLINICS), st.sampled_from(Role)), max_size=6)
readings = st.frozensets(
    st.builds(Reading, st.sampled_from(CLINICS), st.sampled_from(CLINICS), st.sampled_from(Service)), max_size=6
)
actors = st.builds(
    Actor, st.just(PersonId("p")), st.just("p"), st.just("p"), st.sampled_from(("person", "program", "system")),
    memberships, readings, st.sampled_from(("", "1106400")), st.frozensets(st.sampled_from(Service)),
)  # fmt: skip
things = st.builds(Thing, st.sampled_from((None, *CLINICS)), st.sampled_from((None, *Service)))


@settings(max_examples=400, deadline=None)
@given(actors, st.sampled_from(Act), things, st.data())
def test_permit_is_monotone(actor: Actor, act: Act, thing: Thing, data: st.DataObject) -> None:
    fewer = replace(
        actor,
        memberships=frozenset(data.draw(st.sets(st.sampled_from(sorted(actor.memberships, key=repr))))) if actor.memberships else frozenset(),
        readings=frozenset(data.draw(st.sets(st.sampled_from(sorted(actor.readings, key=repr))))) if actor.readings else frozenset(),
        scope=frozenset(data.draw(st.sets(st.sampled_from(sorted(actor.scope))))) if actor.scope else frozenset(),
        licence=data.draw(st.sampled_from(("", actor.licence))),
    )  # fmt: skip
    assert permitted(actor, act, thing) or not permitted(fewer, act, thing)


@settings(max_examples=200, deadline=None)
@given(actors, st.sampled_from(sorted(LICENSED)), things)
def test_nobody_without_a_licence_and_no_program_signs(actor: Actor, act: Act, thing: Thing) -> None:
    if not actor.licence or actor.kind != "person":
        assert not permitted(actor, act, thing)


@settings(max_examples=200, deadline=None)
@given(actors, st.sampled_from(Act), st.sampled_from(CLINICS))
def test_what_lies_beyond_his_reach_is_not_there_for_him(actor: Actor, act: Act, clinic: ClinicId) -> None:
    thing = Thing(clinic, Service.ECG)
    if permitted(actor, act, thing):
        permit(actor, act, thing)
        return
    with pytest.raises(Forbidden if clinic in actor.clinics else NotFound) as refused:
        permit(actor, act, thing)
    assert refused.value.zh and refused.value.en


def test_every_act_has_its_grants() -> None:
    assert set(GRANTS) == set(Act) and all(GRANTS.values())
