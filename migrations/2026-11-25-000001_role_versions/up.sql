-- The last version that a deleted role had: one that gets its name goes on from there, so no tag ever means two states.
create table deleted_roles (
    name text not null,
    version bigint not null,
    constraint deleted_roles_pkey primary key (name)
);
