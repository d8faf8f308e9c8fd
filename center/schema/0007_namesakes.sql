-- One number, several people: clinics type a number twice, or reuse it. Each person is a row of his own; the first one of
-- a number has no distinct_from, those who contradict him (name, birth date or sex) name him there. Run as helan_owner.
alter table center.patient add column distinct_from text;
drop index center.patient_local_id;
create unique index patient_local_id on center.patient (clinic_id, local_id)
  where not placeholder and distinct_from is null;
