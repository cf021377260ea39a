create table roles (
    name text not null,
    description text not null default '',
    scopes text[] not null,
    built_in boolean not null default false,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint roles_pkey primary key (name),
    constraint roles_name_check check (name ~ '^[a-z][a-z0-9_-]{0,62}$')
);

create table users (
    id uuid not null,
    email text not null,
    email_verified boolean not null default false,
    name text,
    locale text,
    password_hash text not null,
    disabled boolean not null default false,
    user_metadata jsonb not null default '{}',
    app_metadata jsonb not null default '{}',
    epoch bigint not null default 0,
    version bigint not null default 1,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint users_pkey primary key (id),
    constraint users_email_key unique (email),
    constraint users_email_canonical_check check (email = lower(email collate "C")),
    constraint users_user_metadata_check check (jsonb_typeof(user_metadata) = 'object'),
    constraint users_app_metadata_check check (jsonb_typeof(app_metadata) = 'object')
);

create table user_roles (
    user_id uuid not null,
    role text not null,
    given_at timestamptz not null default clock_timestamp(),
    constraint user_roles_pkey primary key (user_id, role),
    constraint user_roles_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint user_roles_role_fkey foreign key (role) references roles (name)
);
create index user_roles_role_idx on user_roles (role);

create table sessions (
    id uuid not null,
    user_id uuid not null,
    client_id text not null,
    scopes text[] not null,
    gen bigint not null default 0,
    rotated_at timestamptz not null,
    refresh_exp timestamptz not null,
    absolute_exp timestamptz not null,
    auth_time timestamptz not null,
    acr text not null,
    amr text[] not null,
    user_agent text,
    address text,
    created_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    ended_at timestamptz,
    end_reason text,
    constraint sessions_pkey primary key (id),
    constraint sessions_user_id_fkey foreign key (user_id) references users (id) on delete cascade,
    constraint sessions_end_check check ((ended_at is null) = (end_reason is null))
);
create index sessions_user_id_idx on sessions (user_id, id);

create table sign_in_throttle (
    key text not null,
    failures integer not null,
    blocked_until timestamptz not null,
    updated_at timestamptz not null,
    constraint sign_in_throttle_pkey primary key (key)
);
create index sign_in_throttle_updated_at_idx on sign_in_throttle (updated_at);

create table signing_keys (
    kid text not null,
    purpose text not null,
    algorithm text not null,
    audience text not null default '',
    state text not null,
    sealed bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint signing_keys_pkey primary key (kid),
    constraint signing_keys_purpose_check check (purpose in ('access', 'refresh', 'cursor')),
    constraint signing_keys_algorithm_check check (algorithm in ('RS256', 'ES256', 'EdDSA', 'HS256')),
    constraint signing_keys_state_check check (state in ('staged', 'active', 'retiring', 'retired'))
);
create unique index signing_keys_one_active_key on signing_keys (purpose, algorithm, audience) where state = 'active';

create table audit_events (
    id uuid not null,
    at timestamptz not null default clock_timestamp(),
    action text not null,
    actor_id uuid,
    subject_id uuid,
    session_id uuid,
    client_id text,
    address text,
    user_agent text,
    request_id text,
    details jsonb not null default '{}',
    constraint audit_events_pkey primary key (id)
);
create index audit_events_subject_id_idx on audit_events (subject_id, id);
create index audit_events_actor_id_idx on audit_events (actor_id, id);
create index audit_events_action_idx on audit_events (action, id);

insert into roles (name, description, scopes, built_in) values
    ('user', 'Given to everyone who signs up: their own account and sessions.',
     '{account:read,account:write,sessions:self}', true),
    ('admin', 'May do everything, also what no scope names.', '{}', true);
