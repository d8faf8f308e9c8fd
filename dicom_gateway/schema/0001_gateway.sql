-- The door: peers, associations, the index of studies, what was kept aside, what was sent. Run as helan_owner.
create schema gateway;
grant usage on schema gateway to helan_web, helan_service;

-- Who may call, and from where: AE title + source network (GROUND.md "Peer"). '*' takes any title from that network.
create table gateway.peer (
  aet text not null check (length(aet) between 1 and 16),
  cidr cidr not null,
  clinic_id text not null references center.clinic,
  address text not null default '',             -- host:port to send to; '' only receives from it
  may_send boolean not null default true,       -- it may send to us
  associations int not null default 16,         -- at once
  created_at timestamptz not null,
  primary key (aet, cidr)
);
create table gateway.association (
  association_id text primary key,
  aet text not null,
  clinic_id text not null,
  address text not null,
  process text not null,
  started_at timestamptz not null,
  seen_at timestamptz not null,
  ended_at timestamptz,
  objects int not null default 0
);
create index association_open on gateway.association (aet) where ended_at is null;
create index association_started on gateway.association (started_at desc);

create table gateway.study (
  clinic_id text not null,
  study_uid text not null,
  patient_id text not null,
  accession text not null default '',
  description text not null default '',
  study_date text not null default '',          -- as the device wrote it, YYYYMMDD
  study_time text not null default '',
  zone_offset text not null default '',         -- (0008,0201), +0800; '' is the clinic's local time
  study_id text not null default '',
  referring text not null default '',
  body_part text not null default '',
  laterality text not null default '',
  state text not null default 'arriving',       -- arriving | complete
  generation int not null default 0,
  pending int not null default 0,               -- arrived since the last generation
  batch_first_at timestamptz not null,
  first_arrival_at timestamptz not null,
  last_arrival_at timestamptz not null,
  last_association text,
  completed_at timestamptz,
  partial boolean not null default false,       -- read after the longest wait, more may come
  source text not null default '',
  identity_notes text[] not null default '{}',
  corrections int not null default 0,
  primary key (clinic_id, study_uid),
  foreign key (clinic_id, patient_id) references center.patient (clinic_id, patient_id)
);
create index study_patient on gateway.study (clinic_id, patient_id);
create index study_recent on gateway.study (clinic_id, last_arrival_at desc);
create index study_date on gateway.study (clinic_id, study_date desc);
create index study_accession on gateway.study (clinic_id, accession) where accession <> '';

create table gateway.series (
  clinic_id text not null,
  study_uid text not null,
  series_uid text not null,
  modality text not null default '',
  number int,
  description text not null default '',
  body_part text not null default '',
  laterality text not null default '',
  protocol text not null default '',
  series_date text not null default '',
  series_time text not null default '',
  manufacturer text not null default '',
  station text not null default '',
  institution text not null default '',
  primary key (clinic_id, study_uid, series_uid),
  foreign key (clinic_id, study_uid) references gateway.study (clinic_id, study_uid)
);

create table gateway.instance (
  clinic_id text not null,
  sop_uid text not null,
  study_uid text not null,
  series_uid text not null,
  sop_class_uid text not null,
  transfer_syntax text not null,
  sha256 text not null references center.object,
  bytes bigint not null,
  dataset_offset int not null,
  dataset_digest text not null,
  number int,
  frames int not null default 0,
  frame_map jsonb,                              -- where each frame's bytes lie; null: no pixel data
  rows int,
  columns int,
  bits_allocated int,
  metadata bytea not null,                      -- DICOM JSON, UTF-8, zlib; made once, here
  origin text not null,
  visibility text not null,
  door text not null,
  person_id text not null default '',
  peer text not null default '',
  association text,
  charset_repaired boolean not null default false,
  received_at timestamptz not null,
  primary key (clinic_id, sop_uid),
  foreign key (clinic_id, study_uid, series_uid) references gateway.series (clinic_id, study_uid, series_uid)
);
create index instance_series on gateway.instance (clinic_id, study_uid, series_uid, number);
create index instance_object on gateway.instance (sha256);

-- Same UID, other data set: the first stays in place, this waits for an administrator (DESIGN.md "Failures").
create table gateway.quarantine (
  clinic_id text not null,
  sop_uid text not null,
  sha256 text not null references center.object,
  study_uid text not null,
  sop_class_uid text not null,
  held_sha256 text not null,
  reason text not null,
  difference text[] not null,                   -- tags, never values
  door text not null,
  person_id text not null default '',
  peer text not null default '',
  received_at timestamptz not null,
  decided_by text,
  decided_at timestamptz,
  primary key (clinic_id, sop_uid, sha256)
);
create index quarantine_open on gateway.quarantine (clinic_id, received_at desc) where decided_at is null;

create table gateway.sending (
  clinic_id text not null,
  delivery_key text not null,
  sop_uid text not null,
  peer text not null,
  attempts int not null default 0,
  status int,                                   -- the peer's DIMSE status, null: no answer
  acknowledged boolean not null default false,
  note text not null default '',
  last_at timestamptz not null,
  acknowledged_at timestamptz,
  primary key (clinic_id, delivery_key, sop_uid)
);

select center.share('gateway.peer');
select center.share('gateway.association');
select center.secure('gateway.study');
select center.secure('gateway.series');
select center.secure('gateway.instance');
select center.secure('gateway.quarantine');
select center.secure('gateway.sending');
