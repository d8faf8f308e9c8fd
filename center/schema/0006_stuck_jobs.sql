-- A job that fails again and again is seen: by whom and why it failed, and what a person decided.
alter table center.job add column error jsonb;  -- {"name", "zh", "en", "at"}: the last failure, in words and by its place in the code

-- state 'dismissed': a person set it aside, with a reason in the audit.
-- center/stuck.py asks by exactly this condition.
create index job_stuck on center.job (created_at)
  where state = 'dead' or (state in ('ready', 'running') and attempts >= 6);
-- The oldest waiting job of each handler, whatever its urgency.
create index job_due on center.job (handler, run_at) where state = 'ready';
