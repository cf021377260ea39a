-- What was written and has no position in the feed yet. Writers insert here in the statement that writes the record; they take no lock
-- for it and tell nobody.
create table outbox (
    -- Of one record it grows with every change, since the record is locked before it is drawn. Of several it is no order of commits.
    seq bigint generated always as identity,
    -- The serial of the collection. 0: nothing has changed, but replicas forget the changes that they hold in memory.
    collection bigint not null,
    -- The declaration under which it was written: older rules don't tell who may see it.
    generation bigint not null,
    record_id uuid not null,
    -- These two never change, but for an owner whose account is erased.
    owner uuid,
    created_at timestamptz(3) not null,
    -- The record before; null where there was none.
    old_version bigint,
    old_updated_at timestamptz(3),
    old_data jsonb,
    -- The record since; null where it is deleted, but that a deletion has a version, too.
    version bigint not null,
    updated_at timestamptz(3),
    data jsonb,
    -- Bytes of both documents as text.
    size integer not null,
    -- Whether the record before is not known any more: it counts as one that everybody saw.
    is_tombstone boolean not null default false,
    constraint outbox_pkey primary key (seq)
);
-- Every row is deleted within milliseconds.
alter table outbox set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100000);

-- The changes in the order in which readers learn of them: positions are dense, and grow with commits. By day, so that old ones are dropped.
create table feed (
    position bigint not null,
    -- When it got its position; it never goes back.
    at timestamptz not null,
    collection bigint not null,
    generation bigint not null,
    record_id uuid not null,
    owner uuid,
    created_at timestamptz(3) not null,
    old_version bigint,
    old_updated_at timestamptz(3),
    old_data jsonb,
    version bigint not null,
    updated_at timestamptz(3),
    data jsonb,
    size integer not null,
    is_tombstone boolean not null,
    constraint feed_pkey primary key (position, at)
) partition by range (at);
-- By which the entries of somebody are found whose account is erased.
create index feed_owner_idx on feed (owner);

-- The days, which a job makes ahead, and where changes go for which it has made none.
create schema tollgate_feed;
create table tollgate_feed.rest partition of feed default;

-- How far the feed is: one row.
create table feed_state (
    id integer not null default 1,
    -- Positions of another epoch are none of this feed: a restored database counts some of them once more.
    epoch text not null default left(replace(gen_random_uuid()::text, '-', ''), 12),
    -- The last position.
    position bigint not null default 0,
    -- The last position that was dropped.
    floor bigint not null default 0,
    -- When the last position was given.
    at timestamptz not null default clock_timestamp(),
    constraint feed_state_pkey primary key (id),
    constraint feed_state_id_check check (id = 1)
);
insert into feed_state default values;

-- What becomes of the records of somebody whose account is erased, in the transaction that erases it, and of what the feed tells of them.
-- Nothing that they wrote outlives them there, so nobody can tell any more who saw a record; what ends it is told to everybody who may list
-- records of its collection, as a tombstone: an id, which says nothing to those who never had it. Untold, everybody else would keep it.
create or replace function erase_records() returns trigger language plpgsql set search_path from current as $$
declare
    collection record;
    is_stripped boolean;
begin
    -- Their records may refer to each other; what others refer to can't be erased.
    set constraints all deferred;
    for collection in
        select serial, generation, declaration ->> 'on_owner_delete' = 'keep' as kept from collections order by serial
    loop
        if collection.kept then
            execute format('with written as (
                    update tollgate_data.%I set owner = null, version = version + 1, updated_at = clock_timestamp() where owner = $1 returning *
                ) insert into outbox (collection, generation, record_id, created_at, version, updated_at, data, size, is_tombstone)
                select $2, $3, id, created_at, version, updated_at, data, size, true from written', 'c' || collection.serial)
                using old.id, collection.serial, collection.generation;
        else
            execute format('with written as (
                    delete from tollgate_data.%I where owner = $1 returning *
                ) insert into outbox (collection, generation, record_id, created_at, version, size, is_tombstone)
                select $2, $3, id, created_at, version + 1, 0, true from written', 'c' || collection.serial)
                using old.id, collection.serial, collection.generation;
        end if;
    end loop;
    set constraints all immediate;
    -- After the records, which wait for whoever is writing to them; and the outbox first, since what leaves it meanwhile is in the feed then.
    update outbox set owner = null, old_version = null, old_updated_at = null, old_data = null, updated_at = null, data = null, size = 0,
        is_tombstone = data is null where owner = old.id;
    is_stripped = found;
    update feed set owner = null, old_version = null, old_updated_at = null, old_data = null, updated_at = null, data = null, size = 0,
        is_tombstone = data is null where owner = old.id;
    if is_stripped or found then
        insert into outbox (collection, generation, record_id, created_at, version, size)
            values (0, 0, '00000000-0000-0000-0000-000000000000', clock_timestamp(), 0, 0);
    end if;
    return null;
end
$$;
