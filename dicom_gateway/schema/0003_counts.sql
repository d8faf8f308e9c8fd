-- A list of studies costs what it shows: each series keeps how many instances it has, for whom, and of which classes.
alter table gateway.series
  add received_n int not null default 0,        -- came from outside: no results of ours
  add clinic_n int not null default 0,          -- its clinic may see
  add readers_n int not null default 0,         -- readers alone may see
  add clinic_classes text[] not null default '{}',
  add readers_classes text[] not null default '{}';

create function gateway.count_series(clinic text, study text, series text) returns void language sql as $$
  update gateway.series e set received_n = c.received_n, clinic_n = c.clinic_n, readers_n = c.readers_n,
    clinic_classes = c.clinic_classes, readers_classes = c.readers_classes
  from (select count(*) filter (where origin <> 'result') as received_n,
      count(*) filter (where visibility = 'clinic') as clinic_n,
      count(*) filter (where visibility = 'readers') as readers_n,
      coalesce(array_agg(distinct sop_class_uid) filter (where visibility = 'clinic'), '{}') as clinic_classes,
      coalesce(array_agg(distinct sop_class_uid) filter (where visibility = 'readers'), '{}') as readers_classes
    from gateway.instance i where i.clinic_id = clinic and i.study_uid = study and i.series_uid = series) c
  where e.clinic_id = clinic and e.study_uid = study and e.series_uid = series
$$;

-- An arrival adds one (its study's row is held by it, so that no two add at once); what is rarer is counted anew.
create function gateway.note_instance() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    update gateway.series set received_n = received_n + (new.origin <> 'result')::int,
      clinic_n = clinic_n + (new.visibility = 'clinic')::int,
      readers_n = readers_n + (new.visibility = 'readers')::int,
      clinic_classes = case when new.visibility = 'clinic' and not new.sop_class_uid = any(clinic_classes)
        then array_append(clinic_classes, new.sop_class_uid) else clinic_classes end,
      readers_classes = case when new.visibility = 'readers' and not new.sop_class_uid = any(readers_classes)
        then array_append(readers_classes, new.sop_class_uid) else readers_classes end
    where clinic_id = new.clinic_id and study_uid = new.study_uid and series_uid = new.series_uid;
    return new;
  end if;
  perform gateway.count_series(old.clinic_id, old.study_uid, old.series_uid);
  return old;
end $$;
create trigger counted after insert or delete or update of visibility, origin, series_uid on gateway.instance
  for each row execute function gateway.note_instance();
select gateway.count_series(clinic_id, study_uid, series_uid) from gateway.series;

-- In the order in which lists show them: the latest first.
create index study_latest on gateway.study (clinic_id, study_date desc, study_time desc, study_uid);
create index study_patient_latest on gateway.study (clinic_id, patient_id, study_date desc, study_time desc);
drop index gateway.study_date;
drop index gateway.study_patient;
create index object_spooled on center.object (created_at) where location = 'spool';
