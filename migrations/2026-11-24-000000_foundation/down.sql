drop table audit_events;
drop table signing_keys;
drop table sign_in_throttle;
drop table sessions;
drop table user_roles;
drop table users;
drop table roles;
