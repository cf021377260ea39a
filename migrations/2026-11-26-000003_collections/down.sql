update roles set scopes = array_remove(array_remove(scopes, 'records:read'), 'records:write'), version = version + 1 where name = 'user';
drop trigger users_erase_records on users;
drop function erase_records();
drop table collection_indexes;
drop table collections;
drop sequence collection_generations;
drop schema tollgate_data cascade;
