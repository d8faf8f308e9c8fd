-- Who reads a case stands on the dispatcher's board: a case that waits for its reader is hurried along at the reading
-- clinic. Columns come last: views are replaced in place, with their rights.
create or replace view worklist.board as
  select c.clinic_id, k.name as clinic_name, c.case_id, c.case_no, c.service, c.modality, c.state, c.urgency,
    c.urgency_rank, c.due_at, c.completed_at, c.flags, c.machine ->> 'kind' as machine_kind, c.lease_by,
    c.lease_by_name, c.lease_until, c.version, c.reading_clinic
  from worklist."case" c join center.clinic k using (clinic_id);
create or replace view worklist.board_task as
  select t.clinic_id, t.task_id, t.case_id, c.case_no, t.kind, t.key, t.for_role, t.due_at, t.made_at, t.facts,
    t.done_at, t.done_by, t.reason, c.reading_clinic, c.lease_by_name as reader
  from worklist.task t join worklist."case" c using (clinic_id, case_id);
