drop table upstream_states;
drop table identities;
