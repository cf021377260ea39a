-- Accounts at other OpenID Connect providers that sign people in here; known by what never changes: issuer and subject.
create table identities (
    issuer text not null,
    subject text not null,
    user_id uuid not null,
    created_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz not null default clock_timestamp(),
    constraint identities_pkey primary key (issuer, subject),
    constraint identities_subject_check check (length(subject) between 1 and 255),
    constraint identities_user_id_fkey foreign key (user_id) references users (id) on delete cascade
);
create index identities_user_id_idx on identities (user_id);

-- People who are away at such a provider, and those who came back and have to prove that an account here is theirs.
create table upstream_states (
    -- The hash of the state that went along.
    id bytea not null,
    upstream text not null,
    nonce text not null,
    verifier text not null,
    -- The hash of the cookie of the browser that left.
    browser bytea not null,
    -- What the page was about.
    request text,
    -- Whether the provider was asked to let them prove anew who they are.
    fresh boolean not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    -- When they came back.
    taken_at timestamptz,
    -- Who they are there, while it waits for the password of an account here.
    identity jsonb,
    constraint upstream_states_pkey primary key (id)
);
create index upstream_states_expires_at_idx on upstream_states (expires_at);
create index upstream_states_browser_idx on upstream_states (browser) where identity is not null;
