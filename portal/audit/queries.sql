-- audit_page: one page, latest first (primary key; index audit_clinic when narrowed to a clinic)
select a.id, a.at, a.login, a.clinic_id, a.act, a.thing, a.reason, a.detail, c.seq, k.name as clinic, k.name_en as clinic_en,
  p.login as thing_login
from center.audit a
left join center.audit_chain c on c.audit_id = a.id
left join center.clinic k on k.clinic_id = a.clinic_id
left join center.person p on a.thing = 'person:' || p.person_id
where (%(clinic)s::text = '' or a.clinic_id = %(clinic)s)
  and (%(act)s::text = '' or a.act = %(act)s or starts_with(a.act, %(act)s || ':'))
  and (%(login)s::text = '' or a.login = %(login)s)
  and (%(begin)s::timestamptz is null or a.at >= %(begin)s)
  and (%(end)s::timestamptz is null or a.at < %(end)s)
  and (%(before)s::bigint is null or a.id < %(before)s)
order by a.id desc limit %(limit)s;

-- audit_chain_state: how far the chain reaches and its last signed head (primary keys and the sealer's queue only)
select coalesce((select max(seq) from center.audit_chain), 0) as sealed,
  (select count(*) from (select 1 from center.audit_unchained limit 10001) q) as unsealed,
  h.seq as head_seq, h.hash as head, h.at as head_at
from (select 1) one left join lateral (select * from center.audit_head order by seq desc limit 1) h on true;

-- audit_clinics: for the filter
select clinic_id, name, name_en from center.clinic order by kind, clinic_id limit 500;

-- audit_acts: for the filter, of what was done lately
select distinct act from (select act from center.audit order by id desc limit 5000) lately order by act limit 200;
