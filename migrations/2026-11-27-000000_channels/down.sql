update sessions set scopes = array_remove(array_remove(array_remove(scopes, 'channels:read'), 'channels:write'), 'channels:manage');
update roles set scopes = array_remove(array_remove(array_remove(scopes, 'channels:read'), 'channels:write'), 'channels:manage'), version = version + 1
    where scopes && '{channels:read,channels:write,channels:manage}';
drop table tickets;
drop table presences;
drop table channel_replicas;
drop table channel_floors;
drop table channel_entries;
drop table channel_state;
