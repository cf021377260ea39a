-- Members of records that refer to other records. The column of such a member is r<number>, with a foreign key.
create table collection_references (
    number bigint generated always as identity,
    collection text not null,
    member text not null,
    target text not null,
    -- What becomes of a record whose target is deleted.
    on_delete text not null,
    constraint collection_references_pkey primary key (number),
    constraint collection_references_member_key unique (collection, member),
    constraint collection_references_collection_fkey foreign key (collection) references collections (name) on delete cascade,
    constraint collection_references_target_fkey foreign key (target) references collections (name) deferrable initially deferred,
    constraint collection_references_on_delete_check check (on_delete in ('restrict', 'delete', 'clear'))
);
create index collection_references_target_idx on collection_references (target);

-- What becomes of the records that refer to one that is deleted, in the statement that deletes it. The foreign keys refuse what is left.
create function release_references() returns trigger language plpgsql set search_path from current as $$
declare
    referring record;
begin
    -- Each record of a chain is a level of its own here, and Postgres has no stack for thousands.
    if pg_trigger_depth() > 200 then
        raise exception 'too many records refer to each other in a chain' using errcode = 'foreign_key_violation', constraint = 'c0_r0_fkey';
    end if;
    for referring in
        select number, member, on_delete, sources.serial, sources.generation, sources.declaration -> 'history' = 'true' as has_history
        from collection_references join collections as sources on sources.name = collection
        where target = (select name from collections where serial = tg_argv[0]::bigint) and on_delete <> 'restrict'
        order by number
    loop
        if referring.on_delete = 'delete' then
            execute format('with written as (
                    delete from tollgate_data.%I where %I = $1 returning *
                ) insert into outbox (collection, generation, record_id, owner, created_at, old_version, old_updated_at, old_data, version, size)
                select $2, $3, id, owner, created_at, version, updated_at, data, version + 1, size from written',
                'c' || referring.serial, 'r' || referring.number)
                using old.id, referring.serial, referring.generation;
        else
            if referring.has_history then
                execute format('insert into tollgate_data.%I (id, version, updated_at, data)
                    select id, version, updated_at, data from tollgate_data.%I where %I = $1 order by id for update',
                    'h' || referring.serial, 'c' || referring.serial, 'r' || referring.number) using old.id;
            end if;
            execute format('with before as (
                    select id, version, updated_at, data, size from tollgate_data.%1$I where %2$I = $1 order by id for update
                ), written as (
                    update tollgate_data.%1$I as record set data = record.data - $4, version = record.version + 1, updated_at = clock_timestamp()
                    from before where record.id = before.id returning record.*
                ) insert into outbox (collection, generation, record_id, owner, created_at, old_version, old_updated_at, old_data, version,
                    updated_at, data, size)
                select $2, $3, written.id, owner, created_at, before.version, before.updated_at, before.data, written.version,
                    written.updated_at, written.data, written.size + before.size
                from written join before on before.id = written.id',
                'c' || referring.serial, 'r' || referring.number)
                using old.id, referring.serial, referring.generation, referring.member;
        end if;
    end loop;
    return null;
end
$$;
