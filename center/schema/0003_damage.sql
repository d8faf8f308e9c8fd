-- When an object's bytes were last compared with its name, and since when they are known to be wrong or gone.
alter table center.object add checked_at timestamptz, add damaged_at timestamptz;
create index object_unchecked on center.object (checked_at nulls first, sha256) where location = 'store';
create index object_damaged on center.object (damaged_at) where damaged_at is not null;
