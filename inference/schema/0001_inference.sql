create schema inference;
grant usage on schema inference to helan_web, helan_service;

create table inference.model (
  name text not null,
  version text not null,
  digest text not null,                 -- sha256 of its manifest
  state text not null,                  -- serving | refused
  reason text not null default '',
  seen_at timestamptz not null,
  primary key (name, version)
);
create table inference.preliminary_read (
  clinic_id text not null,
  read_id text not null,
  study_uid text not null,
  model text not null,
  version text not null,
  input_digest text not null,
  kind text not null,
  outcome text not null,                -- read | abstained | unreadable
  reason_code text not null default '',
  "values" jsonb not null,              -- the whole read, as center.reads.PreliminaryRead
  sop_uids text[] not null default '{}',
  made_at timestamptz not null,
  primary key (clinic_id, read_id),
  unique (clinic_id, study_uid, model, version, input_digest)
);
create index preliminary_read_study on inference.preliminary_read (clinic_id, study_uid, made_at desc);

select center.share('inference.model', 'select, insert, update');
-- A read is a fact about what a model said: written once, never changed.
select center.secure('inference.preliminary_read', 'select, insert');
