-- How each loop of each process is, told every few seconds by the process itself; /health and `helan doctor` read it.
create table center.beat (
  host text not null,
  process text not null,                        -- web | dicom | worker | inference | ecg-1 ...
  loop text not null,
  pid int not null,
  at timestamptz not null,                      -- when the process told it
  age_s real not null,                          -- since the loop turned
  ailing_s real not null,                       -- since it last turned well
  within_s real not null,                       -- a turn that takes longer is stuck
  failures bigint not null,                     -- since the process began
  note_zh text not null default '',             -- what a loop that looks at something has found; '' is well
  note_en text not null default '',
  primary key (host, process, loop)
);
select center.share('center.beat');
