-- The columns of members that refer to others stay; nothing writes to them but their own expressions.
do $$
declare
    trigger record;
begin
    for trigger in select tgrelid::regclass as owner, tgname from pg_trigger where tgname = 'A_release_references' loop
        execute format('drop trigger %I on %s', trigger.tgname, trigger.owner);
    end loop;
end
$$;
drop function release_references;
drop table collection_references;
