alter table channel_replicas drop column hears_nats;
