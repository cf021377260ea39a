-- Apps that ask for tokens: what they registered (RFC 7591), and what they prove themselves with, hashed.
create table clients (
    id text not null,
    -- How it came here: 'managed' by an administrator, 'registered' by itself.
    kind text not null,
    metadata jsonb not null,
    secret_hash bytea,
    -- Of the token with which a registered client manages itself (RFC 7592).
    registration_hash bytea,
    version bigint not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint clients_pkey primary key (id),
    constraint clients_kind_check check (kind in ('managed', 'registered')),
    constraint clients_metadata_check check (jsonb_typeof(metadata) = 'object')
);

-- How often the clients have changed: replicas compare it every second. Whoever changes a client holds the row until the
-- transaction ends, so that the order of the numbers is the order of the commits.
create table client_changes (
    id integer not null,
    number bigint not null,
    constraint client_changes_pkey primary key (id),
    constraint client_changes_id_check check (id = 1)
);
insert into client_changes (id, number) values (1, 0);

-- Of a browser that is signed in at our own pages: the hash of its cookie.
alter table sessions add column page_hash bytea;
-- The browser's session out of which this one was opened.
alter table sessions add column parent_id uuid;
-- The thumbprint of the key that the refresh token is bound to (RFC 9449).
alter table sessions add column cnf text;
-- The API that its tokens are for, when it is another one.
alter table sessions add column resource text;
-- Claims that the app asked for by name (OpenID Connect Core section 5.5).
alter table sessions add column claims jsonb;
create unique index sessions_page_hash_key on sessions (page_hash);
create index sessions_parent_id_idx on sessions (parent_id);

-- Requests that wait: pushed by a client (RFC 9126), or for the person to sign in or consent.
create table authorization_requests (
    id bytea not null,
    client_id text not null,
    parameters jsonb not null,
    pushed boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    constraint authorization_requests_pkey primary key (id)
);
create index authorization_requests_expires_at_idx on authorization_requests (expires_at);

create table authorization_codes (
    id bytea not null,
    client_id text not null,
    user_id uuid not null,
    page_id uuid not null,
    redirect_uri text not null,
    scopes text[] not null,
    challenge text not null,
    nonce text,
    cnf text,
    resource text,
    claims jsonb,
    auth_time timestamptz not null,
    acr text not null,
    amr text[] not null,
    expires_at timestamptz not null,
    -- What it was redeemed for: a second use ends it.
    session_id uuid,
    constraint authorization_codes_pkey primary key (id),
    constraint authorization_codes_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);
create index authorization_codes_expires_at_idx on authorization_codes (expires_at);
create index authorization_codes_user_id_idx on authorization_codes (user_id);

-- RFC 8628: what a device shows, and what became of it.
create table device_codes (
    id bytea not null,
    user_code bytea not null,
    client_id text not null,
    scopes text[] not null,
    resource text,
    cnf text,
    address text,
    user_agent text,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    interval_seconds integer not null,
    polled_at timestamptz,
    -- Null until somebody has decided.
    allowed boolean,
    user_id uuid,
    page_id uuid,
    auth_time timestamptz,
    acr text,
    amr text[],
    session_id uuid,
    constraint device_codes_pkey primary key (id),
    constraint device_codes_user_code_key unique (user_code),
    constraint device_codes_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);
create index device_codes_expires_at_idx on device_codes (expires_at);
create index device_codes_user_id_idx on device_codes (user_id);

create table consents (
    user_id uuid not null,
    client_id text not null,
    scopes text[] not null,
    -- Empty text: our own API.
    resources text[] not null,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint consents_pkey primary key (user_id, client_id),
    constraint consents_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);

-- What may be presented once: DPoP proofs (RFC 9449 section 11.1) and client assertions (RFC 7523 section 3).
create table presented_once (
    id bytea not null,
    expires_at timestamptz not null,
    constraint presented_once_pkey primary key (id)
);
create index presented_once_expires_at_idx on presented_once (expires_at);

-- Clients that are still to be told that a session has ended.
create table logout_notices (
    id uuid not null,
    client_id text not null,
    session_id uuid not null,
    user_id uuid not null,
    attempts integer not null default 0,
    next_at timestamptz not null default clock_timestamp(),
    created_at timestamptz not null default clock_timestamp(),
    constraint logout_notices_pkey primary key (id)
);
create index logout_notices_next_at_idx on logout_notices (next_at);

-- Keys of two more purposes.
alter table signing_keys drop constraint signing_keys_purpose_check;
alter table signing_keys add constraint signing_keys_purpose_check
    check (purpose in ('access', 'refresh', 'cursor', 'identity', 'page'));
