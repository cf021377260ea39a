alter table consents drop column grants;
