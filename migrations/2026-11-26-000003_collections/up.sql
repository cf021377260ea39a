-- The tables of records, one for each collection; what makes them are declarations, not migrations.
create schema tollgate_data;

-- Each declaration that was ever accepted has a number of its own, also of collections that were deleted and made anew.
create sequence collection_generations as bigint;

create table collections (
    name text not null,
    -- The table of its records is tollgate_data.c<serial>.
    serial bigint generated always as identity,
    type_name text not null,
    -- As the developer wrote it, but for these two.
    declaration jsonb not null,
    generation bigint not null default nextval('collection_generations'),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint collections_pkey primary key (name),
    constraint collections_serial_key unique (serial),
    constraint collections_type_name_key unique (type_name),
    constraint collections_name_check check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint collections_declaration_check check (jsonb_typeof(declaration) = 'object')
);

-- What becomes of the records of somebody whose account is erased, in the transaction that erases it.
create function erase_records() returns trigger language plpgsql set search_path from current as $$
declare
    collection record;
begin
    for collection in select serial, declaration ->> 'on_owner_delete' = 'keep' as kept from collections order by serial loop
        if collection.kept then
            execute format('update tollgate_data.%I set owner = null, version = version + 1, updated_at = clock_timestamp() where owner = $1',
                'c' || collection.serial) using old.id;
        else
            execute format('delete from tollgate_data.%I where owner = $1', 'c' || collection.serial) using old.id;
        end if;
    end loop;
    return null;
end
$$;
create trigger users_erase_records after delete on users for each row execute function erase_records();

-- Everybody may use records, as far as the rules of their collections go.
update roles set scopes = scopes || '{records:read,records:write}', version = version + 1 where name = 'user';
-- So may sessions of ours that are open and were not narrowed; their users' roles decide at every refresh.
update sessions set scopes = scopes || '{collections:read,collections:write,records:read,records:write}'
    where client_id = 'tollgate' and ended_at is null and scopes @> '{account:read,account:write,sessions:self}';

-- The indexes that a declaration asks for; a job builds those of collections that have records.
create table collection_indexes (
    number bigint generated always as identity,
    collection text not null,
    -- As they were declared: members, a minus before those that descend.
    members text[] not null,
    -- What is indexed, in SQL: a member of another type is another index.
    definition text not null,
    state text not null,
    -- Why it failed.
    detail text,
    created_at timestamptz not null default clock_timestamp(),
    constraint collection_indexes_pkey primary key (number),
    constraint collection_indexes_definition_key unique (collection, definition),
    constraint collection_indexes_collection_fkey foreign key (collection) references collections (name) on delete cascade,
    constraint collection_indexes_state_check check (state in ('building', 'ready', 'failed'))
);
