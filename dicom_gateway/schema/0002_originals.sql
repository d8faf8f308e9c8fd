-- The files that a wrapped recording was made from, byte for byte as they came, by the names that they came under.
create table gateway.original (
  clinic_id text not null,
  sop_uid text not null,                        -- of the instance made from them
  n int not null,
  name text not null,
  sha256 text not null references center.object,
  bytes bigint not null,
  primary key (clinic_id, sop_uid, n)
);
create index original_object on gateway.original (sha256);

select center.secure('gateway.original');
