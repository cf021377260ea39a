create or replace function erase_records() returns trigger language plpgsql set search_path from current as $$
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
drop table feed_state;
drop table feed;
drop table outbox;
drop schema tollgate_feed;
