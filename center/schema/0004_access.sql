-- Wrong passwords by name as it was typed (a digest) and address: center/lockout.py.
create table center.sign_in_failure (
  name text not null,
  address text not null,
  failures int not null,                        -- in a row
  tries int not null,                           -- since the row began
  last_at timestamptz not null,
  locked_until timestamptz,
  primary key (name, address)
);
create index sign_in_failure_last on center.sign_in_failure (last_at);
create table center.known_address (
  name text not null,
  address text not null,
  at timestamptz not null,
  primary key (name, address)
);
select center.share('center.sign_in_failure');
select center.share('center.known_address');
-- failures: wrong passwords when signing, in a row, which end his sessions.
alter table center.person
  add licence_until timestamptz,                -- from then on he signs nothing; null: no end is known
  add totp_step bigint not null default 0;      -- the last time step whose code was used: each code once
alter table center.api_token add token_id text not null default gen_random_uuid()::text, add label text not null default '';
create unique index api_token_id on center.api_token (token_id);
