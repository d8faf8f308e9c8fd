-- A study is of whom its own images say, whatever another study under the same number says. Run as helan_owner.
-- other_identities: who else objects of this same study name (source, name, birth_date, sex, local_id), five at most.
alter table gateway.study
  add column local_id text not null default '',
  add column name text not null default '',
  add column person_name text not null default '',
  add column pinyin text not null default '',
  add column sex text not null default '',
  add column birth_date date,
  add column other_identities jsonb not null default '[]';
-- Studies from before keep whom they were shown under.
update gateway.study s set local_id = p.local_id, name = p.name, person_name = p.person_name, pinyin = p.pinyin,
  sex = p.sex, birth_date = p.birth_date
from center.patient p where p.clinic_id = s.clinic_id and p.patient_id = s.patient_id;
create index study_number on gateway.study (clinic_id, local_id);
