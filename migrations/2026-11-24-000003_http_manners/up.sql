-- The strong validator of a role, as accounts have one.
alter table roles add column version bigint not null default 1;

-- Answers of requests that carried an Idempotency-Key, kept for a day.
create table idempotent_answers (
    -- A hash of who asked what under which key; the key itself is not stored.
    id bytea not null,
    -- The body, keyed with the key, so that nobody can guess what it held.
    fingerprint bytea not null,
    location text not null,
    version bigint not null,
    body text not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint idempotent_answers_pkey primary key (id)
);
create index idempotent_answers_created_at_idx on idempotent_answers (created_at);
