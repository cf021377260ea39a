-- Tokens that are dead before they expire. Every replica holds the rows in memory; `xid` lets it find what committed
-- since it last looked, whatever order transactions commit in.
create table revocations (
    kind text not null,
    id text not null,
    -- Of kind 'user': tokens with a smaller `uep` are dead.
    epoch bigint,
    until timestamptz not null,
    xid bigint not null default (pg_current_xact_id()::text::bigint),
    constraint revocations_pkey primary key (kind, id),
    constraint revocations_kind_check check (kind in ('sid', 'user', 'client', 'jti', 'kid')),
    constraint revocations_epoch_check check ((kind = 'user') = (epoch is not null))
);
create index revocations_xid_idx on revocations (xid);
create index revocations_until_idx on revocations (until);

-- The longest lifetime that any configuration ever gave to what a key of this purpose signs.
create table longest_lifetimes (
    purpose text not null,
    seconds bigint not null,
    constraint longest_lifetimes_pkey primary key (purpose)
);

-- When a staged key begins to sign, and when a retiring one stops to verify.
alter table signing_keys add column activates_at timestamptz;
alter table signing_keys add column activated_at timestamptz;
alter table signing_keys add column retires_at timestamptz;
alter table signing_keys add column retired_at timestamptz;
update signing_keys set activated_at = created_at where state = 'active';

create index sessions_refresh_kid_idx on sessions (refresh_kid) where ended_at is null;
-- From where the current generation was begun, hashed: the same answer to somebody elsewhere is written down.
alter table sessions add column rotated_from text;
-- When the answer was last given again while nothing of it was used: other tabs may ask for 30 s from then.
alter table sessions add column reopened_at timestamptz;
