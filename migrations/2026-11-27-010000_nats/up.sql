-- Whether a replica hears what is told over NATS: as long as one does not, everything goes over the database.
alter table channel_replicas add column hears_nats boolean not null default false;
