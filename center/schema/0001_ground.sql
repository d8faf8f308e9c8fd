-- The ground every room stands on. Run as helan_owner.
create schema center;
grant usage on schema center to helan_web, helan_service;

-- Row security by clinic for a table, and the rights on it, in one call; see docs/decisions/0002-row-security.md.
create function center.secure(target regclass, rights text default 'select, insert, update, delete')
returns void language plpgsql as $$
declare
  own text := $p$clinic_id = any (string_to_array((select current_setting('helan.clinics', true)), ','))$p$;
begin
  execute format('alter table %s enable row level security', target);
  execute format('alter table %s force row level security', target);
  execute format('create policy clinic on %s to helan_web, helan_service using (%s) with check (%s)', target, own, own);
  execute format('create policy owner on %s to helan_owner using (true) with check (true)', target);
  execute format('grant %s on %s to helan_web, helan_service', rights, target);
end $$;

-- Rights on a table without row security: reached only by the code of the room that owns it.
create function center.share(target regclass, rights text default 'select, insert, update, delete')
returns void language plpgsql as $$
begin
  execute format('grant %s on %s to helan_web, helan_service', rights, target);
end $$;

create table center.clinic (
  clinic_id text primary key check (clinic_id ~ '^[a-z0-9_-]{1,32}$'),
  name text not null unique,
  name_en text not null default '',
  kind text not null default 'township',       -- township | county | tertiary
  zone text not null default 'Asia/Shanghai',
  duty_phone text not null default '',
  status text not null default 'active',
  created_at timestamptz not null default now()
);
create table center.person (
  person_id text primary key,
  login text not null unique check (login ~ '^[a-z0-9._-]{1,64}$'),
  name text not null,
  name_en text not null default '',
  hash text not null,
  totp text,                                    -- secret, or null: no second factor
  licence text not null default '',
  scope text[] not null default '{}',
  status text not null default 'active',        -- active | disabled
  failures int not null default 0,
  locked_until timestamptz,
  preferences jsonb not null default '{}',
  created_at timestamptz not null default now()
);
create table center.membership (
  person_id text not null references center.person,
  clinic_id text not null references center.clinic,
  role text not null,
  "from" timestamptz not null default now(),
  until timestamptz,
  primary key (person_id, clinic_id, role)
);
create table center.agreement (
  requesting_clinic text not null references center.clinic,
  reading_clinic text not null references center.clinic,
  service text not null,
  "from" timestamptz not null default now(),
  until timestamptz,
  primary key (requesting_clinic, reading_clinic, service)
);
create table center.session (
  hash text primary key,
  person_id text not null references center.person,
  csrf text not null,
  created_at timestamptz not null,
  expires timestamptz not null,
  seen_at timestamptz not null
);
create table center.api_token (
  hash text primary key,
  person_id text not null references center.person,
  created_at timestamptz not null,
  expires timestamptz,
  revoked_at timestamptz
);
create table center.certificate (
  serial text primary key,
  person_id text not null references center.person,
  certificate text not null,
  wrapped_key jsonb not null,
  created_at timestamptz not null,
  revoked_at timestamptz
);
create index certificate_person on center.certificate (person_id) where revoked_at is null;
create table center.patient (
  clinic_id text not null references center.clinic,
  patient_id text not null,
  local_id text not null,
  name text not null,
  person_name text not null default '',         -- as DICOM PN
  pinyin text not null default '',
  sex text not null default '',
  birth_date date,
  placeholder boolean not null default false,
  linked_to text,
  created_at timestamptz not null default now(),
  primary key (clinic_id, patient_id)
);
create unique index patient_local_id on center.patient (clinic_id, local_id) where not placeholder;
create table center.object (
  sha256 text primary key,
  bytes bigint not null,
  location text not null,                       -- spool | store
  host text not null default '',
  references_n int not null default 0,
  created_at timestamptz not null default now()
);
create table center.event (
  id bigint generated always as identity primary key,
  clinic_id text not null,
  kind text not null,
  v int not null,
  key text not null,
  payload jsonb not null,
  at timestamptz not null default now(),
  unique (clinic_id, kind, key)
);
create table center.job (
  id bigint generated always as identity primary key,
  clinic_id text not null,
  handler text not null,
  dedup text not null,
  payload jsonb not null,
  priority int not null default 0,
  run_at timestamptz not null default now(),
  attempts int not null default 0,
  state text not null default 'ready',          -- ready | running | done | dead
  lease_until timestamptz,
  lease_by text,
  last_error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz
);
create unique index job_waits_once on center.job (clinic_id, handler, dedup) where state = 'ready';
create index job_pick on center.job (handler, priority desc, run_at, id) where state = 'ready';
create index job_lapsed on center.job (lease_until) where state = 'running';
create table center.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  person_id text not null,
  login text not null,
  clinic_id text not null default '',
  act text not null,
  thing text not null,
  reason text not null default '',
  detail jsonb not null default '{}'
);
create index audit_at on center.audit (at);
create index audit_clinic on center.audit (clinic_id, at);
create table center.audit_chain (
  seq bigint primary key,
  audit_id bigint not null unique references center.audit,
  hash text not null
);
create table center.audit_head (
  seq bigint primary key,
  hash text not null,
  signature text not null,
  at timestamptz not null
);
create table center.policy (
  clinic_id text not null,                      -- '' is the region's
  name text not null,
  value jsonb not null,
  version int not null,
  "from" timestamptz not null default now(),
  primary key (clinic_id, name, version)
);

select center.share(t::regclass) from unnest(array[
  'center.clinic', 'center.person', 'center.membership', 'center.agreement', 'center.session', 'center.api_token',
  'center.certificate', 'center.object', 'center.event', 'center.job']) t;
select center.secure('center.patient', 'select, insert, update');
-- Audit rows are written and read, never changed: no role of a running process may update or delete them.
select center.share(t::regclass, 'select, insert') from unnest(array[
  'center.audit', 'center.audit_chain', 'center.audit_head']) t;
select center.share('center.policy', 'select, insert');
