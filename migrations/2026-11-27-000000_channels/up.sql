-- Channels: what is published on them, and who is there.

-- How far publications are; the lock of this row gives them one order.
create table channel_state (
    id integer primary key default 1 check (id = 1),
    position bigint not null default 0,
    -- Up to where floors are forgotten.
    floor bigint not null default 0,
    -- The last entry of those that were dropped.
    dropped bigint not null default 0
);
insert into channel_state default values;

-- What is told to subscribers. Everything stays for a minute, so that each replica hears of it; what is kept is the history.
create table channel_entries (
    position bigint primary key,
    channel text not null,
    -- 0: a publication, 1: somebody came, 2: somebody went.
    kind integer not null,
    is_kept boolean not null,
    data text,
    -- Who published, or came, or went.
    info text,
    at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create index channel_entries_history on channel_entries (channel, position) where is_kept;
create index channel_entries_expiry on channel_entries (expires_at);

-- Where a history begins of which something was dropped: after this position.
create table channel_floors (
    channel text primary key,
    position bigint not null,
    at timestamptz not null default clock_timestamp()
);
create index channel_floors_age on channel_floors (at);

-- The replicas that serve sockets, and when each was last heard of.
create table channel_replicas (
    id uuid primary key,
    seen_at timestamptz not null
);

-- Who is subscribed where, by their replica.
create table presences (
    channel text not null,
    client uuid not null,
    replica uuid not null,
    -- Grows with every subscription of the replica: who comes back before their leaving is written stays.
    ticket bigint not null,
    info text not null,
    is_told boolean not null,
    primary key (channel, client)
);
create index presences_replica on presences (replica);

-- What opens one stream of events, once, where no token can be sent: by its hash, with the token that only the ticket unseals.
create table tickets (
    id bytea primary key,
    token bytea not null,
    expires_at timestamptz not null
);
create index tickets_expiry on tickets (expires_at);

-- Everybody may use channels, as far as the rules of their namespaces go.
update roles set scopes = scopes || '{channels:read,channels:write}', version = version + 1 where name = 'user';
-- So may sessions of ours that are open and were not narrowed; their users' roles decide at every refresh.
update sessions set scopes = scopes || '{channels:read,channels:write,channels:manage}'
    where client_id = 'tollgate' and ended_at is null and scopes @> '{account:read,account:write,sessions:self}';
