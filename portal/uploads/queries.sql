-- known: which of these files the clinic has already, durable and indexed (index instance_object)
select distinct sha256, study_uid from gateway.instance
where clinic_id = %(clinic_id)s and sha256 = any(%(digests)s) and origin = 'received' limit 1000;

-- keep_object: an original file beside the recording that was made from it has a reference of its own
insert into center.object (sha256, bytes, location, references_n) values (%(sha256)s, %(bytes)s, 'store', 1)
on conflict (sha256) do update set references_n = center.object.references_n + 1;

-- keep_missing_object: the same where it is not known yet
insert into center.object (sha256, bytes, location, references_n) values (%(sha256)s, %(bytes)s, 'store', 1)
on conflict (sha256) do nothing;

-- request_of_study: a request was written for it before
select 1 as there from worklist.request where clinic_id = %(clinic_id)s and study_uid = %(study_uid)s limit 1;
