drop table deleted_roles;
