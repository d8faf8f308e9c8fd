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

-- keep_original: under the name that it came with, once
insert into gateway.original (clinic_id, sop_uid, n, name, sha256, bytes)
values (%(clinic_id)s, %(sop_uid)s, %(n)s, %(name)s, %(sha256)s, %(bytes)s)
on conflict do nothing;

-- originals_of_study: what its recordings were made from, in the order in which they came (index instance_series)
select o.name, o.sha256, o.bytes from gateway.original o
join gateway.instance i on i.clinic_id = o.clinic_id and i.sop_uid = o.sop_uid
where i.clinic_id = %(clinic_id)s and i.study_uid = %(study_uid)s order by o.sop_uid, o.n limit 100;
