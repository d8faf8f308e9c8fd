-- Cases, reports, alerts and deliveries. Run as helan_owner; every clinic table's keys begin with clinic_id.
create schema worklist;
grant usage on schema worklist to helan_web, helan_service;

create sequence worklist.case_number;
grant usage on sequence worklist.case_number to helan_web, helan_service;

create table worklist.request (
  clinic_id text not null references center.clinic,
  request_id text not null,
  accession text not null default '',
  local_id text not null default '',
  name text not null default '',
  sex text not null default '',
  birth_date date,
  age_years int,
  exam text not null default '',
  question text not null default '',
  history text not null default '',
  referring text not null default '',
  urgent boolean not null default false,
  study_uid text not null default '',           -- written for a study that was here already
  case_id text,
  written_by text not null,
  written_at timestamptz not null,
  primary key (clinic_id, request_id)
);
create unique index request_accession on worklist.request (clinic_id, accession) where accession <> '';
create index request_waits on worklist.request (clinic_id, local_id, written_at) where case_id is null;
create index request_recent on worklist.request (clinic_id, written_at desc);

create table worklist."case" (
  clinic_id text not null references center.clinic,
  case_id text not null,
  case_no text not null,
  study_uid text not null,
  service text not null,
  reading_clinic text,
  request_id text,
  state text not null,
  urgency text not null,
  urgency_rank int not null generated always as (case urgency when 'stat' then 0 when 'urgent' then 1 else 2 end) stored,
  due_at timestamptz not null,
  arrived_at timestamptz not null,              -- T1
  completed_at timestamptz not null,            -- T2
  -- copies of what the list shows: the gateway's rows are its own
  patient_id text not null,
  patient_name text not null,
  patient_pinyin text not null default '',
  patient_local_id text not null,
  patient_sex text not null default '',
  patient_birth_date date,
  patient_age_years int,
  modality text not null,
  exam text not null default '',
  body_part text not null default '',
  laterality text not null default '',
  images int not null default 0,
  study_at text not null default '',            -- ISO, as the device wrote it: local time of the clinic when naive
  accession text not null default '',
  referring text not null default '',
  question text not null default '',
  history text not null default '',
  flags text[] not null default '{}',
  machine jsonb not null default '{}',          -- kind, zh, en, probability of the leading finding
  generation int not null default 1,
  seen_generation int not null default 1,
  facts_n int not null default 1,               -- counts changes of what a report prints
  version int not null default 0,               -- report in force
  amend_reason text not null default '',
  lease_n int not null default 0,
  lease_token text,
  lease_by text,
  lease_by_name text,
  lease_since timestamptz,
  lease_until timestamptz,
  lease_active_at timestamptz,
  events_n int not null default 0,
  opened_at timestamptz,
  final_at timestamptz,
  delivered_at timestamptz,
  receipted_at timestamptz,
  closed_at timestamptz,
  created_at timestamptz not null,
  primary key (clinic_id, case_id),
  unique (clinic_id, study_uid),
  check ((lease_token is null) = (state not in ('leased', 'reading')))
);
create index case_id on worklist."case" (case_id);
create index case_order on worklist."case" (state, urgency_rank, due_at, case_id collate "C");
create index case_recent on worklist."case" (clinic_id, completed_at desc);
create index case_lease on worklist."case" (lease_by) where lease_by is not null;

create table worklist.case_event (
  clinic_id text not null,
  case_id text not null,
  n int not null,
  event text not null,
  from_state text,
  to_state text not null,
  actor text not null,
  actor_name text not null,
  at timestamptz not null,
  reason text not null default '',
  detail jsonb not null default '{}',
  primary key (clinic_id, case_id, n),
  foreign key (clinic_id, case_id) references worklist."case"
);
create index case_event_skips on worklist.case_event (actor, at) where event = 'take' and detail ? 'skip';

create table worklist.draft (
  clinic_id text not null,
  case_id text not null,
  lease_token text not null,
  person_id text not null,
  content jsonb not null,
  version int not null default 0,
  saved_at timestamptz not null,
  orphan boolean not null default false,
  preview_sha256 text not null default '',      -- empty: none, or out of date
  preview_version int not null default 0,
  preview_facts_n int not null default 0,
  preview_lang text not null default '',
  preview_content jsonb,
  preview_content_sha256 text not null default '',
  preview_sops text[] not null default '{}',
  qr_token text not null default '',
  primary key (clinic_id, case_id, lease_token),
  foreign key (clinic_id, case_id) references worklist."case"
);

create table worklist.report_version (
  clinic_id text not null,
  case_id text not null,
  n int not null,
  study_uid text not null,
  status text not null,
  report_no text not null,
  content jsonb not null,
  content_sha256 text not null,
  lang text not null,
  preview_sha256 text not null,
  pdf_sha256 text not null,
  sealed_sha256 text not null default '',
  signer text not null,
  signer_name text not null,
  certificate_serial text not null,
  signed_at timestamptz not null,
  sealed_at timestamptz,
  replaces int,
  seen_sops text[] not null,
  reads jsonb not null default '[]',            -- runs of models that the signer was shown
  amend_reason text not null default '',
  withdrawn_at timestamptz,
  withdraw_reason text not null default '',
  primary key (clinic_id, case_id, n),
  foreign key (clinic_id, case_id) references worklist."case"
);
-- Rule 2: a signed report never changes; only its status, and its seal once, may.
create function worklist.report_is_fixed() returns trigger language plpgsql as $$
begin
  if (to_jsonb(new) - array['status', 'sealed_sha256', 'sealed_at', 'withdrawn_at', 'withdraw_reason'])
     <> (to_jsonb(old) - array['status', 'sealed_sha256', 'sealed_at', 'withdrawn_at', 'withdraw_reason'])
     or (old.sealed_sha256 <> '' and new.sealed_sha256 <> old.sealed_sha256)
     or (old.status = 'withdrawn' and new.status <> 'withdrawn')
     or (old.status = 'amended' and new.status = 'final') then
    raise exception 'a signed report does not change' using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger fixed before update on worklist.report_version
  for each row execute function worklist.report_is_fixed();

create table worklist.verdict (
  clinic_id text not null,
  case_id text not null,
  version int not null,                         -- the report version that it was made for
  read_id text not null,
  finding_key text not null,
  verdict text not null check (verdict in ('accepted', 'rejected')),
  reason text not null default '',
  person_id text not null,
  at timestamptz not null,
  primary key (clinic_id, case_id, version, read_id, finding_key),
  foreign key (clinic_id, case_id) references worklist."case"
);

create table worklist.task (
  clinic_id text not null,
  task_id text not null,
  case_id text not null,
  kind text not null,                           -- read_now | phone | late_images | dispatch | identity
  key text not null,
  for_role text not null,
  due_at timestamptz not null,
  made_at timestamptz not null,
  facts jsonb not null default '{}',
  done_at timestamptz,
  done_by text,
  reason text not null default '',
  primary key (clinic_id, task_id),
  unique (clinic_id, case_id, kind, key),
  foreign key (clinic_id, case_id) references worklist."case"
);
create index task_open on worklist.task (due_at) where done_at is null;

create table worklist.alert (
  clinic_id text not null,
  alert_id text not null,
  case_id text not null,
  finding_key text not null,
  finding text not null,
  level int not null,
  state text not null,
  step int not null default 0,                  -- steps of the ladder that were taken
  next_at timestamptz,
  found_at timestamptz not null,
  raised_at timestamptz not null,
  raised_by text not null,
  teller text not null,
  receiver text not null default '',
  received_at timestamptz,
  means text not null default '',
  read_back text not null default '',
  mismatch boolean not null default false,
  acknowledged_by text,
  action text not null default '',
  closed_at timestamptz,
  refute_reason text not null default '',
  primary key (clinic_id, alert_id),
  unique (clinic_id, case_id, finding_key),
  foreign key (clinic_id, case_id) references worklist."case"
);
create index alert_open on worklist.alert (raised_at) where state in ('raised', 'notified', 'acknowledged');

create table worklist.alert_notice (
  clinic_id text not null,
  alert_id text not null,
  n int not null,
  step int not null,
  recipient text not null,
  means text not null,
  at timestamptz not null,
  read_back text not null default '',
  primary key (clinic_id, alert_id, n),
  unique (clinic_id, alert_id, step, recipient, means),
  foreign key (clinic_id, alert_id) references worklist.alert
);

create table worklist.delivery (
  clinic_id text not null,
  delivery_id text not null,
  case_id text not null,
  version int not null,
  recipient text not null,                      -- page | pacs:AETITLE
  means text not null,                          -- page | dicom
  mandatory boolean not null,
  state text not null,
  attempts int not null default 0,
  next_at timestamptz,
  acked_at timestamptz,
  opened_at timestamptz,
  opened_by text,
  receipted_at timestamptz,
  receipted_by text,
  note text not null default '',
  primary key (clinic_id, delivery_id),
  unique (clinic_id, case_id, version, recipient),
  foreign key (clinic_id, case_id, version) references worklist.report_version (clinic_id, case_id, n)
);
create table worklist.delivery_attempt (
  clinic_id text not null,
  delivery_id text not null,
  n int not null,
  at timestamptz not null,
  acknowledged boolean not null,
  status int,
  note text not null default '',
  primary key (clinic_id, delivery_id, n),
  foreign key (clinic_id, delivery_id) references worklist.delivery
);
-- Who of the clinic opened which version: they are told when it is amended or withdrawn.
create table worklist.opening (
  clinic_id text not null,
  case_id text not null,
  version int not null,
  person_id text not null,
  at timestamptz not null,
  primary key (clinic_id, case_id, version, person_id),
  foreign key (clinic_id, case_id, version) references worklist.report_version (clinic_id, case_id, n)
);
create table worklist.notice (
  clinic_id text not null,
  notice_id text not null,
  case_id text not null,
  version int not null,
  kind text not null check (kind in ('amended', 'withdrawn', 'refuted')),
  recipient text not null,                      -- clinic | person:ID | pacs:AETITLE
  at timestamptz not null,
  seen_at timestamptz,
  seen_by text,
  primary key (clinic_id, notice_id),
  unique (clinic_id, case_id, version, kind, recipient),
  foreign key (clinic_id, case_id) references worklist."case"
);
create table worklist.qr (
  token_hash text primary key,
  clinic_id text not null,
  case_id text not null,
  n int not null,
  foreign key (clinic_id, case_id, n) references worklist.report_version
);

select center.secure(t::regclass) from unnest(array[
  'worklist.request', 'worklist."case"', 'worklist.draft', 'worklist.verdict', 'worklist.task', 'worklist.delivery',
  'worklist.notice', 'worklist.alert']) t;
select center.secure('worklist.report_version', 'select, insert, update');
select center.secure(t::regclass, 'select, insert') from unnest(array[
  'worklist.case_event', 'worklist.alert_notice', 'worklist.delivery_attempt', 'worklist.opening']) t;
select center.share('worklist.qr', 'select, insert');

-- The dispatcher's board: all clinics, no patient's name, number or text of his. Owned by helan_owner, whose policy
-- sees all rows; reached only after permit(board:view).
create view worklist.board as
  select c.clinic_id, k.name as clinic_name, c.case_id, c.case_no, c.service, c.modality, c.state, c.urgency,
    c.urgency_rank, c.due_at, c.completed_at, c.flags, c.machine ->> 'kind' as machine_kind, c.lease_by,
    c.lease_by_name, c.lease_until, c.version
  from worklist."case" c join center.clinic k using (clinic_id);
create view worklist.board_task as
  select t.clinic_id, t.task_id, t.case_id, c.case_no, t.kind, t.key, t.for_role, t.due_at, t.made_at, t.facts,
    t.done_at, t.done_by, t.reason
  from worklist.task t join worklist."case" c using (clinic_id, case_id);
create view worklist.board_alert as
  select a.*, k.name as clinic_name, k.duty_phone, c.case_no, ''::text as patient_name
  from worklist.alert a join worklist."case" c using (clinic_id, case_id) join center.clinic k using (clinic_id);
create view worklist.board_notice as select clinic_id, alert_id, n, step, recipient, means, at from worklist.alert_notice;
-- What a printed code leads to: nothing about whom.
create view worklist.qr_page as
  select q.token_hash, r.n, r.status, r.signed_at, r.content_sha256,
    (select max(o.n) from worklist.report_version o
     where o.clinic_id = q.clinic_id and o.case_id = q.case_id and o.status = 'final') as current_n
  from worklist.qr q join worklist.report_version r using (clinic_id, case_id, n);
grant select on worklist.board, worklist.board_task, worklist.board_alert, worklist.board_notice, worklist.qr_page
  to helan_web, helan_service;
