-- case_by_id: a case within reach, with its clinic's names (index case_id)
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id) where c.case_id = %(case_id)s;

-- case_by_id_locked: the same, held until the commit: whoever moves a case holds its row
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id) where c.case_id = %(case_id)s for update of c;

-- case_by_study: the case of a study, there is one at most
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id)
where c.clinic_id = %(clinic_id)s and c.study_uid = %(study_uid)s;

-- case_by_study_locked: the same, held until the commit
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id)
where c.clinic_id = %(clinic_id)s and c.study_uid = %(study_uid)s for update of c;

-- cases_of_studies: cases of these studies of one clinic, for "my uploads" and priors
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id)
where c.clinic_id = %(clinic_id)s and c.study_uid = any(%(study_uids)s) limit 500;

-- clinic_cases: one clinic's cases of all times, latest first (index case_recent); total over all pages
select c.*, k.name as clinic_name, k.name_en as clinic_name_en, count(*) over () as total
from worklist."case" c join center.clinic k using (clinic_id)
where c.clinic_id = %(clinic_id)s
  and (%(from_at)s::timestamptz is null or c.completed_at >= %(from_at)s)
  and (%(until_at)s::timestamptz is null or c.completed_at < %(until_at)s)
  and (%(state)s = '' or c.state = %(state)s)
  and (%(pattern)s = '' or c.patient_name ilike %(pattern)s or replace(c.patient_pinyin, ' ', '') ilike %(pattern)s
    or c.patient_local_id ilike %(pattern)s or c.accession ilike %(pattern)s or c.case_no ilike %(pattern)s)
order by c.completed_at desc, c.case_id collate "C" limit %(limit)s offset %(offset)s;

-- next_waiting: the most urgent waiting case of these clinics and services, in the order of reading (index case_order);
-- one that another is taking at this moment is passed over
select c.case_id from worklist."case" c
where c.state = 'queued'
  and (c.clinic_id, c.service) in (select * from unnest(%(clinics)s::text[], %(services)s::text[]))
order by c.urgency_rank, c.due_at, c.case_id collate "C" limit 1 for update skip locked;

-- held_most_urgent: the most urgent case that he holds now
select c.case_id, c.urgency_rank from worklist."case" c
where c.lease_by = %(person_id)s and c.lease_until > %(now)s and c.state in ('leased', 'reading')
order by c.urgency_rank, c.due_at, c.case_id collate "C" limit 1;

-- peek_waiting: the same without taking hold of it
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id)
where c.state = 'queued'
  and (c.clinic_id, c.service) in (select * from unnest(%(clinics)s::text[], %(services)s::text[]))
order by c.urgency_rank, c.due_at, c.case_id collate "C" limit 1;

-- list_cases: the reader's list in the order of reading (index case_order); total over all pages
select c.*, k.name as clinic_name, k.name_en as clinic_name_en, count(*) over () as total
from worklist."case" c join center.clinic k using (clinic_id)
where (c.clinic_id, c.service) in (select * from unnest(%(clinics)s::text[], %(services)s::text[]))
  and c.state = any(%(states)s)
  and (%(urgency)s = '' or c.urgency = %(urgency)s)
  and (%(modality)s = '' or %(modality)s = any(string_to_array(c.modality, '/')))
  and (%(service)s = '' or c.service = %(service)s)
  and (%(clinic_id)s = '' or c.clinic_id = %(clinic_id)s)
  and (%(flag)s = '' or %(flag)s = any(c.flags))
  and (%(holder)s = '' or c.lease_by = %(holder)s)
  and (not %(critical)s or exists (select 1 from worklist.alert a where a.clinic_id = c.clinic_id
    and a.case_id = c.case_id and a.state in ('raised', 'notified', 'acknowledged')))
  and (%(drafter)s = '' or exists (select 1 from worklist.draft d where d.clinic_id = c.clinic_id
    and d.case_id = c.case_id and d.person_id = %(drafter)s and d.version > 0))
  and (%(pattern)s = '' or c.patient_name ilike %(pattern)s or replace(c.patient_pinyin, ' ', '') ilike %(pattern)s
    or c.patient_local_id ilike %(pattern)s or c.accession ilike %(pattern)s or c.case_no ilike %(pattern)s)
order by case when %(latest_first)s then c.final_at end desc nulls last,
  c.urgency_rank, c.due_at, c.case_id collate "C"
limit %(limit)s offset %(offset)s;

-- count_cases: how many each view of the reader's list holds
select count(*) filter (where c.state in ('queued', 'leased', 'reading')) as "all",
  count(*) filter (where c.state in ('queued', 'leased', 'reading') and c.urgency = 'stat') as stat,
  count(*) filter (where c.lease_by = %(person_id)s) as mine,
  count(*) filter (where c.state = 'queued') as waiting,
  count(*) filter (where c.state in ('final', 'delivered', 'receipted', 'closed')) as finished,
  count(*) filter (where exists (select 1 from worklist.alert a where a.clinic_id = c.clinic_id
    and a.case_id = c.case_id and a.state in ('raised', 'notified', 'acknowledged'))) as critical,
  count(*) filter (where c.state in ('queued', 'leased', 'reading') and exists (select 1 from worklist.draft d
    where d.clinic_id = c.clinic_id and d.case_id = c.case_id and d.person_id = %(person_id)s and d.version > 0))
    as draft
from worklist."case" c
where (c.clinic_id, c.service) in (select * from unnest(%(clinics)s::text[], %(services)s::text[]));

-- held_by: how many leases of his are in force (three at most), read under his lock
select count(*) as n from worklist."case" where lease_by = %(person_id)s and lease_until > %(now)s;

-- cases_held: cases that he holds now, for access through a prior
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id)
where c.lease_by = %(person_id)s and c.lease_until > %(now)s limit 10;

-- skips_since: how often he took another case than the next (three a shift)
select count(*) as n from worklist.case_event
where actor = %(person_id)s and event = 'take' and detail ? 'skip' and at > %(since)s;

-- lock_person: one taking of a lease at a time for one person, so that his counts hold
select pg_advisory_xact_lock(hashtext(%(person_id)s));

-- matching_lock: a case that opens and a request that is written at the same moment must see each other: one after the
-- other, clinic by clinic
select pg_advisory_xact_lock(hashtext('matching ' || %(clinic_id)s));

-- insert_case: once for a study of a clinic; none back when it is there
insert into worklist."case" (clinic_id, case_id, case_no, study_uid, service, reading_clinic, state, urgency, due_at,
  arrived_at, completed_at, patient_id, patient_name, patient_pinyin, patient_local_id, patient_sex, patient_birth_date,
  patient_age_years, modality, exam, body_part, laterality, images, study_at, accession, referring, question, history,
  flags, others, generation, seen_generation, created_at)
values (%(clinic_id)s, %(case_id)s, %(case_no)s, %(study_uid)s, %(service)s, %(reading_clinic)s, %(state)s,
  %(urgency)s, %(due_at)s, %(arrived_at)s, %(completed_at)s, %(patient_id)s, %(patient_name)s, %(patient_pinyin)s,
  %(patient_local_id)s, %(patient_sex)s, %(patient_birth_date)s, %(patient_age_years)s, %(modality)s, %(exam)s,
  %(body_part)s, %(laterality)s, %(images)s, %(study_at)s, %(accession)s, %(referring)s, %(question)s, %(history)s,
  %(flags)s, %(others)s, %(generation)s, %(generation)s, %(now)s)
on conflict (clinic_id, study_uid) do nothing returning case_id;

-- next_case_number: counts up over all clinics; gaps don't matter
select nextval('worklist.case_number') as n;

-- reading_clinic: who reads this service for the clinic now
select reading_clinic from center.agreement
where requesting_clinic = %(clinic_id)s and service = %(service)s and "from" <= %(now)s
  and (until is null or until > %(now)s) order by "from" limit 1;

-- clinic: names, zone and duty phone
select clinic_id, name, name_en, zone, duty_phone from center.clinic where clinic_id = %(clinic_id)s;

-- policy: a clinic's own values in force, the region's ('') beneath them, oldest first
select distinct on (clinic_id, name) clinic_id, name, value from center.policy
where clinic_id in ('', %(clinic_id)s) and "from" <= %(now)s order by clinic_id, name, version desc;

-- certificate: the serial of a person's certificate in force
select serial from center.certificate where person_id = %(person_id)s and revoked_at is null
order by created_at desc limit 1;

-- insert_event: one line of a case's history
insert into worklist.case_event (clinic_id, case_id, n, event, from_state, to_state, actor, actor_name, at, reason,
  detail)
values (%(clinic_id)s, %(case_id)s, %(n)s, %(event)s, %(from_state)s, %(to_state)s, %(actor)s, %(actor_name)s, %(at)s,
  %(reason)s, %(detail)s);

-- case_events: a case's history, first line first
select * from worklist.case_event where clinic_id = %(clinic_id)s and case_id = %(case_id)s order by n limit 500;

-- insert_request: a technician's request; none back when this accession number has one
insert into worklist.request (clinic_id, request_id, accession, local_id, name, sex, birth_date, age_years, exam,
  question, history, referring, urgent, study_uid, written_by, written_at)
values (%(clinic_id)s, %(request_id)s, %(accession)s, %(local_id)s, %(name)s, %(sex)s, %(birth_date)s, %(age_years)s,
  %(exam)s, %(question)s, %(history)s, %(referring)s, %(urgent)s, %(study_uid)s, %(written_by)s, %(written_at)s)
on conflict (clinic_id, accession) where accession <> '' do nothing returning request_id;

-- request_by_id: the request that a case was matched with
select * from worklist.request where clinic_id = %(clinic_id)s and request_id = %(request_id)s;

-- waiting_requests: what a study that has just come was asked for by: its own number first, then the study it was
-- written for, then the latest of the same patient that waits
select * from worklist.request
where clinic_id = %(clinic_id)s and case_id is null and (
    (accession <> '' and accession = %(accession)s)
    or (study_uid <> '' and study_uid = %(study_uid)s)
    or (not %(placeholder)s and accession = '' and study_uid = '' and local_id <> '' and local_id = %(local_id)s
      and written_at > %(since)s))
order by (accession <> '' and accession = %(accession)s) desc, (study_uid <> '') desc, written_at desc
limit 20 for update;

-- attach_request: the request has found its case
update worklist.request set case_id = %(case_id)s where clinic_id = %(clinic_id)s and request_id = %(request_id)s;

-- cases_without_request: the cases that a request just written may be meant for, the likeliest first
select c.*, k.name as clinic_name, k.name_en as clinic_name_en
from worklist."case" c join center.clinic k using (clinic_id)
where c.clinic_id = %(clinic_id)s and c.request_id is null and c.state <> 'cancelled' and (
    (%(study_uid)s <> '' and c.study_uid = %(study_uid)s)
    or (%(study_uid)s = '' and %(accession)s <> '' and c.accession = %(accession)s)
    or (%(study_uid)s = '' and %(accession)s = '' and %(local_id)s <> '' and not %(placeholder)s
      and c.patient_local_id = %(local_id)s and c.completed_at > %(since)s
      and c.state in ('triaged', 'queued', 'leased', 'reading')))
order by c.completed_at desc limit 20 for update of c;

-- requests_waiting: requests whose study has not come, latest first (index request_waits)
select * from worklist.request where clinic_id = %(clinic_id)s and case_id is null
order by written_at desc limit %(limit)s;

-- requests_of_cases: requests of these cases
select * from worklist.request where clinic_id = %(clinic_id)s and case_id = any(%(case_ids)s) limit 500;

-- insert_draft: a lease begins with a draft of its own, so that a token once given can be told from a made-up one
insert into worklist.draft (clinic_id, case_id, lease_token, person_id, content, version, saved_at, qr_token)
values (%(clinic_id)s, %(case_id)s, %(token)s, %(person_id)s, %(content)s, %(version)s, %(now)s, %(qr_token)s)
on conflict do nothing;

-- draft: of one lease
select * from worklist.draft where clinic_id = %(clinic_id)s and case_id = %(case_id)s and lease_token = %(token)s;

-- draft_locked: the same, held until the commit
select * from worklist.draft where clinic_id = %(clinic_id)s and case_id = %(case_id)s and lease_token = %(token)s
for update;

-- latest_own_draft: what he wrote in an earlier lease since the last signed version
select * from worklist.draft where clinic_id = %(clinic_id)s and case_id = %(case_id)s and person_id = %(person_id)s
  and version > 0 and saved_at > coalesce((select max(signed_at) from worklist.report_version
    where clinic_id = %(clinic_id)s and case_id = %(case_id)s), '-infinity')
order by saved_at desc limit 1;

-- drafts: all of a case, latest first
select * from worklist.draft where clinic_id = %(clinic_id)s and case_id = %(case_id)s and version > 0
order by saved_at desc limit 20;

-- save_draft: autosave; the preview that it had is out of date
update worklist.draft set content = %(content)s, version = version + 1, saved_at = %(now)s, preview_sha256 = '',
  orphan = orphan or %(orphan)s
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and lease_token = %(token)s returning version;

-- drop_preview: what it showed is no longer what would be signed
update worklist.draft set preview_sha256 = ''
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and lease_token = %(token)s;

-- keep_preview: the PDF of exactly this draft version and these facts
update worklist.draft set preview_sha256 = %(sha256)s, preview_version = version, preview_facts_n = %(facts_n)s,
  preview_lang = %(lang)s, preview_content = %(content)s, preview_content_sha256 = %(content_sha256)s,
  preview_sops = %(sops)s
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and lease_token = %(token)s and version = %(version)s;

-- preview_held: what still needs these bytes: a draft that is being read (waits), or an object's own row
select true as waits from worklist.draft d join worklist."case" c using (clinic_id, case_id)
where d.clinic_id = %(clinic_id)s and d.preview_sha256 = %(sha256)s and c.state = 'reading' and c.lease_token = d.lease_token
union all select false from center.object where sha256 = %(sha256)s limit 1;

-- keep_verdict: the reader's answer to a machine finding; he may change his mind until he signs
insert into worklist.verdict (clinic_id, case_id, version, read_id, finding_key, verdict, reason, person_id, at)
values (%(clinic_id)s, %(case_id)s, %(version)s, %(read_id)s, %(finding_key)s, %(verdict)s, %(reason)s, %(person_id)s,
  %(now)s)
on conflict (clinic_id, case_id, version, read_id, finding_key) do update set verdict = excluded.verdict,
  reason = excluded.reason, person_id = excluded.person_id, at = excluded.at;

-- verdicts: for one version
select * from worklist.verdict where clinic_id = %(clinic_id)s and case_id = %(case_id)s and version = %(version)s
order by read_id, finding_key limit 200;

-- insert_version: a signed report, fixed for ever
insert into worklist.report_version (clinic_id, case_id, n, study_uid, status, report_no, content, content_sha256, lang,
  preview_sha256, pdf_sha256, signer, signer_name, certificate_serial, signed_at, replaces, seen_sops, reads,
  amend_reason)
values (%(clinic_id)s, %(case_id)s, %(n)s, %(study_uid)s, %(status)s, %(report_no)s, %(content)s, %(content_sha256)s,
  %(lang)s, %(preview_sha256)s, %(pdf_sha256)s, %(signer)s, %(signer_name)s, %(certificate_serial)s, %(signed_at)s,
  %(replaces)s, %(seen_sops)s, %(reads)s, %(amend_reason)s);

-- versions: of a case, latest first
select * from worklist.report_version where clinic_id = %(clinic_id)s and case_id = %(case_id)s order by n desc limit 50;

-- version: one of a case
select * from worklist.report_version where clinic_id = %(clinic_id)s and case_id = %(case_id)s and n = %(n)s;

-- version_locked: the same, held until the commit
select * from worklist.report_version where clinic_id = %(clinic_id)s and case_id = %(case_id)s and n = %(n)s for update;

-- latest_versions: the newest version that a clinic may read, of these cases
select distinct on (case_id) * from worklist.report_version
where clinic_id = %(clinic_id)s and case_id = any(%(case_ids)s) and status <> 'withdrawn' and sealed_sha256 <> ''
order by case_id, n desc;

-- set_version_status: replaced or withdrawn; the trigger holds the rest fast
update worklist.report_version set status = %(status)s, withdrawn_at = %(withdrawn_at)s,
  withdraw_reason = %(withdraw_reason)s
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and n = %(n)s;

-- seal_version: once
update worklist.report_version set sealed_sha256 = %(sealed)s, sealed_at = %(now)s
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and n = %(n)s and sealed_sha256 = '';

-- keep_object: the object has one reference more
insert into center.object (sha256, bytes, location, references_n) values (%(sha256)s, %(bytes)s, 'store', 1)
on conflict (sha256) do update set references_n = center.object.references_n + 1;

-- insert_qr: the token's hash alone
insert into worklist.qr (token_hash, clinic_id, case_id, n) values (%(token_hash)s, %(clinic_id)s, %(case_id)s, %(n)s)
on conflict do nothing;

-- standing: what became of the report that says exactly this, the latest of that content first (report_content); owner's view
select status, n, current_n from worklist.qr_page where content_sha256 = %(content_sha256)s order by signed_at desc limit 1;

-- qr_page: what anyone with the printed code may know
select * from worklist.qr_page where token_hash = %(token_hash)s;

-- insert_task: once for its key; none back when it is there
insert into worklist.task (clinic_id, task_id, case_id, kind, key, for_role, due_at, made_at, facts)
values (%(clinic_id)s, %(task_id)s, %(case_id)s, %(kind)s, %(key)s, %(for_role)s, %(due_at)s, %(now)s, %(facts)s)
on conflict (clinic_id, case_id, kind, key) do nothing returning task_id;

-- case_tasks: of a case, open ones first
select t.*, c.case_no from worklist.task t join worklist."case" c using (clinic_id, case_id)
where t.clinic_id = %(clinic_id)s and t.case_id = %(case_id)s order by t.done_at nulls first, t.due_at limit 50;

-- reader_tasks: open ones of cases that he reads (index task_open)
select t.*, c.case_no from worklist.task t join worklist."case" c using (clinic_id, case_id)
where t.done_at is null and t.for_role = 'reader'
  and (c.clinic_id, c.service) in (select * from unnest(%(clinics)s::text[], %(services)s::text[]))
order by t.due_at limit 100;

-- task_locked: with its case's service
select t.*, c.case_no, c.service from worklist.task t join worklist."case" c using (clinic_id, case_id)
where t.task_id = %(task_id)s for update of t;

-- finish_task: once
update worklist.task set done_at = %(now)s, done_by = %(by)s, reason = %(reason)s
where clinic_id = %(clinic_id)s and task_id = %(task_id)s and done_at is null;

-- finish_tasks_of_case: what a signature or a cancellation answers
update worklist.task set done_at = %(now)s, done_by = %(by)s, reason = %(reason)s
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and kind = any(%(kinds)s) and done_at is null;

-- insert_alert: once for a finding of a case
insert into worklist.alert (clinic_id, alert_id, case_id, finding_key, finding, level, state, next_at, found_at,
  raised_at, raised_by, teller)
values (%(clinic_id)s, %(alert_id)s, %(case_id)s, %(finding_key)s, %(finding)s, 1, %(state)s, %(now)s, %(found_at)s,
  %(now)s, %(raised_by)s, %(teller)s)
on conflict (clinic_id, case_id, finding_key) do nothing returning alert_id;

-- alert_by_finding: the one that is there already
select alert_id from worklist.alert where clinic_id = %(clinic_id)s and case_id = %(case_id)s
  and finding_key = %(finding_key)s;

-- alert: with what a banner shows
select a.*, k.name as clinic_name, k.duty_phone, c.case_no, c.patient_name, c.service,
  c.patient_local_id, c.patient_birth_date, c.patient_sex, c.patient_age_years, c.others
from worklist.alert a join worklist."case" c using (clinic_id, case_id) join center.clinic k using (clinic_id)
where a.alert_id = %(alert_id)s;

-- alert_locked: the same, held until the commit
select a.*, k.name as clinic_name, k.duty_phone, c.case_no, c.patient_name, c.service,
  c.patient_local_id, c.patient_birth_date, c.patient_sex, c.patient_age_years, c.others
from worklist.alert a join worklist."case" c using (clinic_id, case_id) join center.clinic k using (clinic_id)
where a.alert_id = %(alert_id)s for update of a;

-- open_alerts: within reach, longest waiting first (index alert_open)
select a.*, k.name as clinic_name, k.duty_phone, c.case_no, c.patient_name, c.service,
  c.patient_local_id, c.patient_birth_date, c.patient_sex, c.patient_age_years, c.others
from worklist.alert a join worklist."case" c using (clinic_id, case_id) join center.clinic k using (clinic_id)
where a.state in ('raised', 'notified', 'acknowledged') order by a.raised_at limit 50;

-- case_alerts: all of a case
select a.*, k.name as clinic_name, k.duty_phone, c.case_no, c.patient_name, c.service,
  c.patient_local_id, c.patient_birth_date, c.patient_sex, c.patient_age_years, c.others
from worklist.alert a join worklist."case" c using (clinic_id, case_id) join center.clinic k using (clinic_id)
where a.clinic_id = %(clinic_id)s and a.case_id = %(case_id)s order by a.raised_at limit 50;

-- step_alert: the ladder has taken a step
update worklist.alert set state = %(state)s, step = %(step)s, next_at = %(next_at)s
where clinic_id = %(clinic_id)s and alert_id = %(alert_id)s;

-- acknowledge_alert: the six fields
update worklist.alert set state = %(state)s, next_at = null, receiver = %(receiver)s, received_at = %(now)s,
  means = %(means)s, read_back = %(read_back)s, mismatch = %(mismatch)s, acknowledged_by = %(by)s
where clinic_id = %(clinic_id)s and alert_id = %(alert_id)s;

-- close_alert: what was done
update worklist.alert set state = %(state)s, action = %(action)s, closed_at = %(now)s
where clinic_id = %(clinic_id)s and alert_id = %(alert_id)s;

-- refute_alert: taken back by a person
update worklist.alert set state = %(state)s, refute_reason = %(reason)s, next_at = null, closed_at = %(now)s
where clinic_id = %(clinic_id)s and alert_id = %(alert_id)s;

-- insert_alert_notice: once for step, receiver and means; none back when it is there
insert into worklist.alert_notice (clinic_id, alert_id, n, step, recipient, means, at)
select %(clinic_id)s, %(alert_id)s, coalesce(max(n), 0) + 1, %(step)s, %(recipient)s, %(means)s, %(now)s
from worklist.alert_notice where clinic_id = %(clinic_id)s and alert_id = %(alert_id)s
on conflict (clinic_id, alert_id, step, recipient, means) do nothing returning n;

-- alert_notices: of these alerts, in order
select * from worklist.alert_notice where alert_id = any(%(alert_ids)s) order by alert_id, n limit 1000;

-- insert_delivery: one for each receiver of a version
insert into worklist.delivery (clinic_id, delivery_id, case_id, version, recipient, means, mandatory, state)
values (%(clinic_id)s, %(delivery_id)s, %(case_id)s, %(version)s, %(recipient)s, %(means)s, %(mandatory)s, %(state)s)
on conflict (clinic_id, case_id, version, recipient) do nothing;

-- deliveries: of a case, latest version first
select * from worklist.delivery where clinic_id = %(clinic_id)s and case_id = %(case_id)s
order by version desc, recipient limit 200;

-- delivery: one, to learn its case
select * from worklist.delivery where clinic_id = %(clinic_id)s and delivery_id = %(delivery_id)s;

-- delivery_locked: one, held until the commit
select * from worklist.delivery where clinic_id = %(clinic_id)s and delivery_id = %(delivery_id)s for update;

-- move_delivery: its new state
update worklist.delivery set state = %(state)s, attempts = %(attempts)s, next_at = %(next_at)s, acked_at = %(acked_at)s,
  note = %(note)s
where clinic_id = %(clinic_id)s and delivery_id = %(delivery_id)s;

-- delivery_opened: the first opening's person and time stay
update worklist.delivery set state = %(state)s, opened_at = coalesce(opened_at, %(now)s),
  opened_by = coalesce(opened_by, %(by)s)
where clinic_id = %(clinic_id)s and delivery_id = %(delivery_id)s;

-- delivery_receipted: the first confirmation stays
update worklist.delivery set receipted_at = coalesce(receipted_at, %(now)s), receipted_by = coalesce(receipted_by, %(by)s)
where clinic_id = %(clinic_id)s and delivery_id = %(delivery_id)s;

-- insert_attempt: a line of the ledger
insert into worklist.delivery_attempt (clinic_id, delivery_id, n, at, acknowledged, status, note)
values (%(clinic_id)s, %(delivery_id)s, %(n)s, %(now)s, %(acknowledged)s, %(status)s, %(note)s) on conflict do nothing;

-- attempts: the ledger of these deliveries
select * from worklist.delivery_attempt where clinic_id = %(clinic_id)s and delivery_id = any(%(delivery_ids)s)
order by delivery_id, n limit 1000;

-- signed_of_preview: the version in force that was signed from this preview by this person
select n, pdf_sha256, signed_at from worklist.report_version where clinic_id = %(clinic_id)s and case_id = %(case_id)s
and signer = %(signer)s and preview_sha256 = %(preview_sha256)s and status = 'final' order by n desc limit 1

-- insert_opening: a person's first opening of a version; none back when he had it open before
insert into worklist.opening (clinic_id, case_id, version, person_id, at)
values (%(clinic_id)s, %(case_id)s, %(version)s, %(person_id)s, %(now)s) on conflict do nothing returning version;

-- openings: who opened a version
select person_id from worklist.opening where clinic_id = %(clinic_id)s and case_id = %(case_id)s
  and version = any(%(versions)s) order by person_id limit 500;

-- insert_notice: once for version, kind and receiver; none back when he was told before
insert into worklist.notice (clinic_id, notice_id, case_id, version, kind, recipient, at)
values (%(clinic_id)s, %(notice_id)s, %(case_id)s, %(version)s, %(kind)s, %(recipient)s, %(now)s)
on conflict (clinic_id, case_id, version, kind, recipient) do nothing returning notice_id;

-- notices: what was told about these cases
select * from worklist.notice where clinic_id = %(clinic_id)s and case_id = any(%(case_ids)s) order by at desc limit 500;

-- notice_locked: one within reach
select * from worklist.notice where notice_id = %(notice_id)s for update;

-- see_notice: the first time stays
update worklist.notice set seen_at = coalesce(seen_at, %(now)s), seen_by = coalesce(seen_by, %(by)s)
where clinic_id = %(clinic_id)s and notice_id = %(notice_id)s;

-- board_cases: open cases of all clinics, without names (owner's view)
select * from worklist.board where state in ('triaged', 'queued', 'leased', 'reading')
  or ('escalated' = any(flags) and state in ('final', 'delivered'))
order by urgency_rank, due_at, case_id collate "C" limit 300;

-- board_case: the clinic of one case, for a dispatcher
select clinic_id from worklist.board where case_id = %(case_id)s;

-- board_tasks: open tasks for dispatchers
select * from worklist.board_task where done_at is null order by due_at limit 200;

-- board_task: the clinic of one task, for a dispatcher
select clinic_id from worklist.board_task where task_id = %(task_id)s;

-- board_alerts: open alerts of all clinics
select * from worklist.board_alert where state in ('raised', 'notified', 'acknowledged') order by raised_at limit 100;

-- board_alert: the clinic of one alert, for a dispatcher
select clinic_id from worklist.board_alert where alert_id = %(alert_id)s;

-- board_notices: of these alerts
select * from worklist.board_notice where alert_id = any(%(alert_ids)s) order by alert_id, n limit 1000;

-- finish_task_by_key: what happened meanwhile answers it
update worklist.task set done_at = %(now)s, done_by = %(by)s, reason = %(reason)s
where clinic_id = %(clinic_id)s and case_id = %(case_id)s and kind = %(kind)s and key = %(key)s and done_at is null;

-- viewed_lately: he looked at it within the last ten minutes (index audit_clinic)
select 1 as seen from center.audit where clinic_id = %(clinic_id)s and at > now() - interval '10 minutes'
  and person_id = %(person_id)s and act = %(act)s and thing = %(thing)s limit 1;

-- cases_about: numbers and studies of cases that are named by id, study or delivery; no patient
select c.case_id, c.case_no, c.study_uid, d.delivery_id from worklist."case" c
left join worklist.delivery d on d.clinic_id = c.clinic_id and d.case_id = c.case_id and d.delivery_id = any(%(deliveries)s)
where c.case_id = any(%(cases)s) or c.study_uid = any(%(studies)s) or c.case_id in (
  select case_id from worklist.delivery where delivery_id = any(%(deliveries)s))
limit 2000;

-- cases_named: number of each case that a thing of the audit is, or is of: kind and id as the thing says (unique keys); no patient
with named as (
  select * from unnest(%(kinds)s::text[], %(clinics)s::text[], %(ids)s::text[]) as n (kind, clinic_id, id)
)
select n.kind, n.id, c.clinic_id, c.case_id, c.case_no, c.service
from named n join worklist."case" c on c.clinic_id = n.clinic_id and c.case_id = n.id
where n.kind = 'case'
union all
select n.kind, n.id, c.clinic_id, c.case_id, c.case_no, c.service
from named n join worklist."case" c on c.clinic_id = n.clinic_id and c.study_uid = n.id
where n.kind = 'study'
union all
select n.kind, n.id, c.clinic_id, c.case_id, c.case_no, c.service
from named n join worklist.alert a on a.clinic_id = n.clinic_id and a.alert_id = n.id
join worklist."case" c on c.clinic_id = a.clinic_id and c.case_id = a.case_id
where n.kind = 'alert'
union all
select n.kind, n.id, c.clinic_id, c.case_id, c.case_no, c.service
from named n join worklist.task t on t.clinic_id = n.clinic_id and t.task_id = n.id
join worklist."case" c on c.clinic_id = t.clinic_id and c.case_id = t.case_id
where n.kind = 'task'
union all
select n.kind, n.id, c.clinic_id, c.case_id, c.case_no, c.service
from named n join worklist.request r on r.clinic_id = n.clinic_id and r.request_id = n.id
join worklist."case" c on c.clinic_id = r.clinic_id and c.case_id = r.case_id
where n.kind = 'request';
