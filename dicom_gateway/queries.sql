-- held_instance: what this clinic holds under a SOP Instance UID (primary key)
select sop_uid, study_uid, series_uid, sop_class_uid, sha256, dataset_digest, origin, visibility
from gateway.instance where clinic_id = %(clinic)s and sop_uid = %(sop)s;

-- put_object: one reference more to an object; says where its bytes are already
insert into center.object (sha256, bytes, location, host, references_n, created_at)
values (%(sha256)s, %(bytes)s, 'spool', %(host)s, 1, %(now)s)
on conflict (sha256) do update set references_n = center.object.references_n + 1
returning location, host;

-- spool_again: an object whose bytes were lost or damaged lies in this host's spool again
insert into center.object (sha256, bytes, location, host, references_n, created_at)
values (%(sha256)s, %(bytes)s, 'spool', %(host)s, 1, %(now)s)
on conflict (sha256) do update set location = 'spool', host = %(host)s, bytes = %(bytes)s, created_at = %(now)s,
  checked_at = null, damaged_at = null;

-- other_object: the instance's bytes are these from now on (the same data set, another group 0002)
update gateway.instance set sha256 = %(sha256)s, bytes = %(bytes)s, dataset_offset = %(dataset_offset)s,
  frame_map = %(frame_map)s::text::jsonb
where clinic_id = %(clinic)s and sop_uid = %(sop)s;

-- object: where an object's bytes are (primary key)
select sha256, bytes, location, host from center.object where sha256 = %(sha256)s;

-- object_moved: the store has it; only then the spool file goes
update center.object set location = 'store', host = '' where sha256 = %(sha256)s and location = 'spool';

-- move_again: a job for each object that this host still has to move and that none waits for, at the start after a crash
insert into center.job (clinic_id, handler, dedup, payload, run_at)
select '', %(handler)s, sha256, jsonb_build_object('sha256', sha256), %(now)s
from center.object where location = 'spool' and host = %(host)s
on conflict (clinic_id, handler, dedup) where state = 'ready' do nothing;

-- places: where these objects' bytes are (primary key)
select sha256, location, host from center.object where sha256 = any(%(names)s);

-- persons_of_number: all people whom this number has named, the first one first (patient_number); in_use: by another study
select p.*, exists (select 1 from gateway.study s where s.clinic_id = p.clinic_id and s.patient_id = p.patient_id
  and s.study_uid <> %(study)s) as in_use
from center.patient p where p.clinic_id = %(clinic)s and p.local_id = %(local_id)s and not p.placeholder
order by p.distinct_from is not null, p.created_at, p.patient_id limit 50;

-- lock_number: who adds a person to a number holds the number's first row (patient_local_id)
select patient_id from center.patient where clinic_id = %(clinic)s and local_id = %(local_id)s and not placeholder
  and distinct_from is null for update;

-- put_patient: two associations may bring a patient's first objects at once: one row, the first identity stays
insert into center.patient (clinic_id, patient_id, local_id, name, person_name, pinyin, sex, birth_date, placeholder,
  distinct_from, created_at)
values (%(clinic)s, %(patient)s, %(local_id)s, %(name)s, %(person_name)s, %(pinyin)s, %(sex)s, %(birth_date)s,
  %(placeholder)s, %(distinct_from)s, %(now)s)
on conflict (clinic_id, local_id) where not placeholder and distinct_from is null do nothing
returning *;

-- fill_patient: what was not known before; never changes what was
update center.patient set
  name = case when name = '' then %(name)s else name end,
  person_name = case when name = '' then %(person_name)s else person_name end,
  pinyin = case when name = '' then %(pinyin)s else pinyin end,
  sex = case when sex = '' then %(sex)s else sex end,
  birth_date = coalesce(birth_date, %(birth_date)s)
where clinic_id = %(clinic)s and patient_id = %(patient)s
  and (name = '' or sex = '' or birth_date is null);

-- change_patient: the clinic put the identity right
update center.patient set name = %(name)s, person_name = %(person_name)s, pinyin = %(pinyin)s, sex = %(sex)s,
  birth_date = %(birth_date)s
where clinic_id = %(clinic)s and patient_id = %(patient)s;

-- lock_study: the row every arrival of a study goes through, with whether its patient's number says anything
select s.*, p.placeholder from gateway.study s
join center.patient p on p.clinic_id = s.clinic_id and p.patient_id = s.patient_id
where s.clinic_id = %(clinic)s and s.study_uid = %(study)s for update of s;

-- name_study: its objects told more of whom it is
update gateway.study set patient_id = %(patient)s, name = %(name)s, person_name = %(person_name)s, pinyin = %(pinyin)s,
  sex = %(sex)s, birth_date = %(birth_date)s
where clinic_id = %(clinic)s and study_uid = %(study)s;

-- namesakes: studies of other people under these numbers, whose doubt begins or ends with this study's (study_number)
select study_uid from gateway.study
where clinic_id = %(clinic)s and local_id = any(%(local_ids)s) and patient_id <> %(patient)s and study_uid <> %(study)s
order by last_arrival_at desc limit 200;

-- put_study: a study's first object
insert into gateway.study (clinic_id, study_uid, patient_id, accession, description, study_date, study_time, zone_offset,
  study_id, referring, body_part, laterality, batch_first_at, first_arrival_at, last_arrival_at, source, identity_notes, local_id, name,
  person_name, pinyin, sex, birth_date)
values (%(clinic)s, %(study)s, %(patient)s, %(accession)s, %(description)s, %(study_date)s, %(study_time)s, %(zone_offset)s,
  %(study_id)s, %(referring)s, %(body_part)s, %(laterality)s, %(now)s, %(now)s, %(now)s, %(source)s, %(notes)s, %(local_id)s,
  %(name)s, %(person_name)s, %(pinyin)s, %(sex)s, %(birth_date)s);

-- arrived: one more object of a study; late ones open a new batch, those that are nothing to read don't
update gateway.study set
  state = case when %(readable)s then 'arriving' when pending = 0 then 'complete' else state end,
  pending = pending + %(readable)s::int,
  batch_first_at = case when pending = 0 and %(readable)s then %(now)s else batch_first_at end,
  last_arrival_at = %(now)s, last_association = coalesce(%(association)s, last_association),
  accession = case when accession = '' then %(accession)s else accession end,
  description = case when description = '' then %(description)s else description end,
  body_part = case when body_part = '' then %(body_part)s else body_part end,
  laterality = case when laterality = '' then %(laterality)s else laterality end,
  identity_notes = (select coalesce(array_agg(distinct n order by n), '{}') from unnest(identity_notes || %(notes)s::text[]) n),
  other_identities = case when other_identities @> %(others)s::jsonb or jsonb_array_length(other_identities) >= 5
    then other_identities else other_identities || %(others)s::jsonb end
where clinic_id = %(clinic)s and study_uid = %(study)s;

-- put_series: the first object of a series describes it; one that is read makes it readable
insert into gateway.series (clinic_id, study_uid, series_uid, modality, number, description, body_part, laterality, protocol,
  series_date, series_time, manufacturer, station, institution, readable)
values (%(clinic)s, %(study)s, %(series)s, %(modality)s, %(number)s, %(description)s, %(body_part)s, %(laterality)s,
  %(protocol)s, %(series_date)s, %(series_time)s, %(manufacturer)s, %(station)s, %(institution)s, %(readable)s)
on conflict (clinic_id, study_uid, series_uid) do update set readable = true
  where not gateway.series.readable and excluded.readable;

-- put_instance: unique by clinic and SOP Instance UID: a second one breaks the key and is compared instead
insert into gateway.instance (clinic_id, sop_uid, study_uid, series_uid, sop_class_uid, transfer_syntax, sha256, bytes,
  dataset_offset, dataset_digest, number, frames, frame_map, rows, columns, bits_allocated, metadata, origin, visibility,
  door, person_id, peer, association, charset_repaired, received_at)
values (%(clinic)s, %(sop)s, %(study)s, %(series)s, %(sop_class)s, %(syntax)s, %(sha256)s, %(bytes)s,
  %(dataset_offset)s, %(dataset_digest)s, %(number)s, %(frames)s, %(frame_map)s::text::jsonb, %(rows)s, %(columns)s,
  %(bits)s, %(metadata)s, %(origin)s, %(visibility)s, %(door)s, %(person)s, %(peer)s, %(association)s, %(repaired)s, %(now)s);

-- put_quarantine: kept aside once, however often it is sent
insert into gateway.quarantine (clinic_id, sop_uid, sha256, study_uid, sop_class_uid, held_sha256, reason, difference,
  door, person_id, peer, received_at)
values (%(clinic)s, %(sop)s, %(sha256)s, %(study)s, %(sop_class)s, %(held)s, %(reason)s, %(difference)s,
  %(door)s, %(person)s, %(peer)s, %(now)s)
on conflict (clinic_id, sop_uid, sha256) do nothing
returning sha256;

-- quarantined: it was kept aside before (primary key)
select sha256 from gateway.quarantine where clinic_id = %(clinic)s and sop_uid = %(sop)s and sha256 = %(sha256)s;

-- quarantine_open: what waits for a decision, latest first (quarantine_open)
select * from gateway.quarantine where clinic_id = %(clinic)s and decided_at is null order by received_at desc limit %(limit)s;

-- quarantine_everywhere: what waits for a decision at the clinics of this transaction, latest first (row security narrows it)
select clinic_id, sop_uid, sha256, study_uid, reason, difference, door, peer, received_at from gateway.quarantine
where decided_at is null order by received_at desc limit %(limit)s;

-- batch: what completion decides from
select s.state, s.generation, s.pending, s.batch_first_at, s.last_arrival_at, s.last_association,
  (select array_agg(distinct e.modality) from gateway.series e where e.clinic_id = s.clinic_id and e.study_uid = s.study_uid
    and exists (select 1 from gateway.instance i where i.clinic_id = e.clinic_id and i.study_uid = e.study_uid
      and i.series_uid = e.series_uid and i.origin <> 'result')) as modalities,
  exists (select 1 from gateway.association a where a.association_id = s.last_association and a.ended_at is null
    and a.seen_at > %(alive_since)s) as open_association
from gateway.study s where s.clinic_id = %(clinic)s and s.study_uid = %(study)s for update of s;

-- complete: a batch ends; its number, and how many came with it
update gateway.study s set state = 'complete', generation = s.generation + 1, pending = 0, completed_at = %(now)s,
  partial = %(partial)s
from (select pending from gateway.study where clinic_id = %(clinic)s and study_uid = %(study)s for update) old
where s.clinic_id = %(clinic)s and s.study_uid = %(study)s and old.pending > 0
returning s.generation, old.pending as added;

-- begin_association: somebody began to send
insert into gateway.association (association_id, aet, clinic_id, address, process, started_at, seen_at)
values (%(id)s, %(aet)s, %(clinic)s, %(address)s, %(process)s, %(now)s, %(now)s);

-- saw_association: it brought an object
update gateway.association set seen_at = %(now)s, objects = objects + 1 where association_id = %(id)s;

-- saw_associations: they are still open, whether they send or not
update gateway.association set seen_at = %(now)s where association_id = any(%(ids)s) and ended_at is null;

-- end_association: nothing more comes from it
update gateway.association set ended_at = %(now)s where association_id = %(id)s and ended_at is null;

-- peers_of_title: who may call by this title; the network decides among them in code (primary key, '*' rows)
select * from gateway.peer where aet = %(aet)s or aet = '*' order by (aet = '*'), masklen(cidr) desc limit 100;

-- peers: for administration
select p.*, (select max(a.seen_at) from gateway.association a where a.aet = p.aet and a.clinic_id = p.clinic_id) as seen_at
from gateway.peer p order by p.clinic_id, p.aet limit %(limit)s;

-- put_peer: registered, or changed
insert into gateway.peer (aet, cidr, clinic_id, address, may_send, associations, created_at)
values (%(aet)s, %(cidr)s::cidr, %(clinic)s, %(address)s, %(may_send)s, %(associations)s, %(now)s)
on conflict (aet, cidr) do update set clinic_id = excluded.clinic_id, address = excluded.address,
  may_send = excluded.may_send, associations = excluded.associations;

-- destinations: where this clinic's reports can be sent
select distinct on (aet) aet, address from gateway.peer
where clinic_id = %(clinic)s and address <> '' and (%(aet)s::text is null or aet = %(aet)s) order by aet, created_at limit 50;

-- recent_associations: for administration, latest first (association_started)
select * from gateway.association order by started_at desc limit %(limit)s;

-- summaries: studies as other rooms know them; counts leave our results out.  The list is cut first (study_recent, or
-- study_patient_latest for a patient), what is counted afterwards is what is shown. namesakes: other people with a study
-- under the same number (patient_number, study_patient_latest), until the clinic has said whose this one is
select s.*, c.instances, c.series, c.modalities, c.beside,
  case when s.corrections > 0 or s.placeholder then '[]'::jsonb else (
    select coalesce(jsonb_agg(jsonb_build_object('source', 'number', 'name', o.name, 'sex', o.sex, 'birth_date', o.birth_date,
      'local_id', o.local_id)), '[]'::jsonb)
    from (select o.* from center.patient o
      where o.clinic_id = s.clinic_id and o.local_id = s.local_id and not o.placeholder and o.patient_id <> s.patient_id
        and exists (select 1 from gateway.study x where x.clinic_id = o.clinic_id and x.patient_id = o.patient_id)
      order by o.created_at, o.patient_id limit 5) o) end as namesakes
from (select s.*, p.placeholder
  from gateway.study s join center.patient p on p.clinic_id = s.clinic_id and p.patient_id = s.patient_id
  where s.clinic_id = %(clinic)s and (%(study)s::text is null or s.study_uid = %(study)s)
    and (%(patient)s::text is null or (s.patient_id = %(patient)s and s.study_uid <> %(besides)s))
  order by case when %(patient)s::text is null then s.last_arrival_at end desc,
    s.study_date desc, s.study_time desc, s.last_arrival_at desc limit %(limit)s) s
cross join lateral (
  select coalesce(sum(e.received_n), 0)::int as instances, count(*) filter (where e.received_n > 0)::int as series,
    coalesce(sum(e.received_n) filter (where not e.readable), 0)::int as beside,
    coalesce(array_agg(distinct e.modality) filter (where e.received_n > 0 and e.modality <> '' and e.readable),
      array_agg(distinct e.modality) filter (where e.received_n > 0 and e.modality <> ''), '{}') as modalities
  from gateway.series e where e.clinic_id = s.clinic_id and e.study_uid = s.study_uid) c
order by case when %(patient)s::text is null then s.last_arrival_at end desc,
  s.study_date desc, s.study_time desc, s.last_arrival_at desc;

-- instances: of a study, in reading order (instance_series)
select i.clinic_id, i.series_uid, i.sop_uid, i.sop_class_uid, i.transfer_syntax, i.sha256, i.origin, i.visibility, i.frames,
  i.bytes, i.number, e.modality, e.number as series_number
from gateway.instance i join gateway.series e
  on e.clinic_id = i.clinic_id and e.study_uid = i.study_uid and e.series_uid = i.series_uid
where i.clinic_id = %(clinic)s and i.study_uid = %(study)s
order by e.number nulls last, i.series_uid, i.number nulls last, i.sop_uid limit %(limit)s;

-- instance: all of one row, for serving it (primary key)
select i.*, e.modality from gateway.instance i join gateway.series e
  on e.clinic_id = i.clinic_id and e.study_uid = i.study_uid and e.series_uid = i.series_uid
where i.clinic_id = %(clinic)s and i.sop_uid = %(sop)s;

-- shelf: rows to serve of a study, or of one of its series, or one instance; what the asker may see
select i.clinic_id, i.study_uid, i.series_uid, i.sop_uid, i.sop_class_uid, i.transfer_syntax, i.sha256, i.bytes, i.number,
  i.frames, i.frame_map, i.dataset_offset, i.origin, i.rows, i.columns, e.modality,
  case when %(with_metadata)s then i.metadata end as metadata
from gateway.instance i join gateway.series e
  on e.clinic_id = i.clinic_id and e.study_uid = i.study_uid and e.series_uid = i.series_uid
where i.clinic_id = %(clinic)s and i.study_uid = %(study)s
  and (%(series)s::text is null or i.series_uid = %(series)s) and (%(sop)s::text is null or i.sop_uid = %(sop)s)
  and i.visibility = any(%(visibilities)s)
order by e.number nulls last, i.series_uid, i.number nulls last, i.sop_uid limit %(limit)s;

-- identity_of_study: whom a study is of, and whether that is what its objects say
select s.corrections, s.other_identities, s.local_id, s.name, s.person_name, s.sex, s.birth_date from gateway.study s
where s.clinic_id = %(clinic)s and s.study_uid = %(study)s;

-- clinics_of_study: which of the asker's clinics hold it
select clinic_id from gateway.study where study_uid = %(study)s order by clinic_id limit 20;

-- correct_identity: the study belongs to another patient row from now on; its bytes stay
update gateway.study set patient_id = %(patient)s, corrections = corrections + 1, identity_notes = '{}',
  other_identities = '[]', local_id = %(local_id)s, name = %(name)s, person_name = %(person_name)s, pinyin = %(pinyin)s,
  sex = %(sex)s, birth_date = %(birth_date)s
where clinic_id = %(clinic)s and study_uid = %(study)s returning corrections;

-- show_to: who sees an instance from now on
update gateway.instance set visibility = %(visibility)s where clinic_id = %(clinic)s and sop_uid = %(sop)s;

-- sending_began: an attempt at a delivery; acknowledged ones are not sent again
insert into gateway.sending (clinic_id, delivery_key, sop_uid, peer, attempts, last_at)
values (%(clinic)s, %(key)s, %(sop)s, %(peer)s, 1, %(now)s)
on conflict (clinic_id, delivery_key, sop_uid) do update set attempts = gateway.sending.attempts + 1, last_at = excluded.last_at,
  peer = excluded.peer
returning attempts, acknowledged, status, note;

-- sending_ended: what the peer answered
update gateway.sending set status = %(status)s, acknowledged = acknowledged or %(acknowledged)s, note = %(note)s,
  acknowledged_at = case when %(acknowledged)s then %(now)s else acknowledged_at end
where clinic_id = %(clinic)s and delivery_key = %(key)s and sop_uid = %(sop)s;

-- oldest_spooled: how long the oldest object waits for the store, for the metric
select extract(epoch from (%(now)s - min(created_at)))::float8 as seconds
from center.object where location = 'spool' and host = %(host)s;

-- studies_holding: which study an object belongs to (index instance_object)
select sha256, min(study_uid) as study_uid from gateway.instance where sha256 = any(%(objects)s)
group by sha256 limit %(limit)s;
