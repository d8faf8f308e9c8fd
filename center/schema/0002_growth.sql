-- What is asked each second costs what it gives back, not what there is (docs/decisions/0006).
-- Finished jobs lie for a week: housekeeping finds the old ones without walking over the others.
create index job_finished on center.job (finished_at) where state = 'done';

-- Audit rows that the sealer has still to chain.  A cursor over ids won't do: a row's id is given before its commit, so
-- a lower one may become visible later.  Rows that were written before this table was made are put in once.
create table center.audit_unchained (audit_id bigint primary key);
insert into center.audit_unchained
  select a.id from center.audit a where not exists (select 1 from center.audit_chain c where c.audit_id = a.id);
create function center.note_unchained() returns trigger language plpgsql security definer as $$
begin
  insert into center.audit_unchained values (new.id);
  return new;
end $$;
create trigger unchained after insert on center.audit for each row execute function center.note_unchained();
-- The sealer takes them out; a row that is taken out and not chained is found by `helan audit verify`.
select center.share('center.audit_unchained', 'select, delete');

-- How far each place that keeps signed heads apart has them.
create table center.audit_shipped (
  place text primary key,
  seq bigint not null,
  at timestamptz not null
);
-- What the last walks over the whole chain found, the latest shown to whoever may see the audit.
create table center.audit_verdict (
  at timestamptz primary key,
  rows bigint not null,
  unchained bigint not null,
  heads bigint not null,
  problems text[] not null
);
select center.share('center.audit_shipped', 'select, insert, update');
select center.share('center.audit_verdict', 'select, insert');
-- A search by the clinic's own number, placeholders included.
create index patient_number on center.patient (clinic_id, local_id);
