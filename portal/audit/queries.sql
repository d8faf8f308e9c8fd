-- audit_page: one page, latest first (primary key; index audit_clinic when narrowed to a clinic); what belongs to a row
-- is looked up for the rows of the page alone
select a.*, c.seq, k.name as clinic, k.name_en as clinic_en, p.login as thing_login
from (select id, at, login, clinic_id, act, thing, reason, detail from center.audit a
  where (%(clinic)s::text = '' or a.clinic_id = %(clinic)s)
    and (%(act)s::text = '' or a.act = %(act)s or starts_with(a.act, %(act)s || ':'))
    and (%(login)s::text = '' or a.login = %(login)s)
    and (%(begin)s::timestamptz is null or a.at >= %(begin)s)
    and (%(end)s::timestamptz is null or a.at < %(end)s)
    and (%(before)s::bigint is null or a.id < %(before)s)
  order by a.id desc limit %(limit)s) a
left join lateral (select seq from center.audit_chain where audit_id = a.id limit 1) c on true
left join lateral (select name, name_en from center.clinic where clinic_id = a.clinic_id limit 1) k on true
left join lateral (select login from center.person
  where starts_with(a.thing, 'person:') and person_id = substr(a.thing, 8) limit 1) p on true
order by a.id desc;

-- audit_chain_state: how far the chain reaches and its last signed head (primary keys and the sealer's queue only)
select coalesce((select max(seq) from center.audit_chain), 0) as sealed,
  (select count(*) from (select 1 from center.audit_unchained limit 10001) q) as unsealed,
  h.seq as head_seq, h.hash as head, h.at as head_at
from (select 1) one left join lateral (select * from center.audit_head order by seq desc limit 1) h on true;

-- audit_clinics: for the filter
select clinic_id, name, name_en from center.clinic order by kind, clinic_id limit 500;

-- audit_acts: for the filter, of what was done lately
select distinct act from (select act from center.audit order by id desc limit 5000) lately order by act limit 200;
