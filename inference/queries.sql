-- keep_read: once per study, model, version and input; a second run of the same job changes nothing
insert into inference.preliminary_read (clinic_id, read_id, study_uid, model, version, input_digest, kind, outcome,
  reason_code, "values", sop_uids, made_at)
values (%(clinic_id)s, %(read_id)s, %(study_uid)s, %(model)s, %(version)s, %(input_digest)s, %(kind)s, %(outcome)s,
  %(reason_code)s, %(values)s, %(sop_uids)s, %(made_at)s)
on conflict (clinic_id, study_uid, model, version, input_digest) do nothing

-- reads_of_study: latest first, for the reading page (index preliminary_read_study)
select * from inference.preliminary_read where clinic_id = %(clinic_id)s and study_uid = %(study_uid)s
order by made_at desc, read_id limit 20

-- note_model: what is served now, for the pages and the doctor command
insert into inference.model (name, version, digest, state, reason, seen_at)
values (%(name)s, %(version)s, %(digest)s, %(state)s, %(reason)s, %(now)s)
on conflict (name, version) do update set digest = excluded.digest, state = excluded.state, reason = excluded.reason,
  seen_at = excluded.seen_at

-- models: all that were ever served here
select * from inference.model order by name, version limit 100
