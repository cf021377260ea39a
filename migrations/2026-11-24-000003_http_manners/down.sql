drop table idempotent_answers;
alter table roles drop column version;
